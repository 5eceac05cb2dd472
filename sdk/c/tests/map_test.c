/* SPDX-License-Identifier: BSD-3-Clause */
/* BkMap against a plain array, over a fixed sequence of puts and takes. */
#include "becket_map.h"

#include "becket_fake_host.h"

#define KEYS 97

int main(void) {
    BkMap map = {NULL, 0, 0, 64};
    uint64_t values[KEYS] = {0};
    int there[KEYS] = {0};
    size_t len = 0;
    uint64_t random = 1;

    for (int step = 0; step < 200000; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t i = (size_t)(random >> 33) % KEYS;
        uint64_t key = (uint64_t)i << 40 | 0x5A; /* as a sid: the index is high */
        uint64_t value = 0;
        if ((random >> 20) % 2 == 0) {
            int room = there[i] || len < 64;
            BK_CHECK(bk_map_put(&map, key, random) == room);
            if (room) {
                len += (size_t)!there[i];
                there[i] = 1;
                values[i] = random;
            }
        } else {
            BK_CHECK(bk_map_take(&map, key, &value) == there[i]);
            BK_CHECK(!there[i] || value == values[i]);
            len -= (size_t)there[i];
            there[i] = 0;
        }
        BK_CHECK(map.len == len);
        uint64_t *found = bk_map_get(&map, key);
        BK_CHECK((found != NULL) == there[i] && (found == NULL || *found == values[i]));
    }
    uint64_t key = 0, value = 0;
    for (; len > 0; len--) {
        BK_CHECK(bk_map_pop(&map, &key, &value) && value == values[key >> 40]);
    }
    BK_CHECK(!bk_map_pop(&map, &key, &value));
    bk_map_free(&map);
    return 0;
}
