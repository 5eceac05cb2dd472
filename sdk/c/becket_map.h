/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A map from sid to a number: what a plugin knows of its open streams.
 *
 * Open addressing with linear probing; a removal shifts the followers back, so
 * there are no tombstones and a lookup never walks further than the run it is
 * in. Grows by doubling while it is more than half full, up to len_max keys.
 *
 * Not locked: the owner holds a lock of its own across what belongs together.
 */
#ifndef BECKET_MAP_H
#define BECKET_MAP_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct BkMapCell {
    uint64_t key;
    uint64_t value;
    int used;
} BkMapCell;

/* All zero but len_max is an empty map. */
typedef struct BkMap {
    BkMapCell *cells;
    size_t cells_len; /* a power of two, or 0 */
    size_t len;
    size_t len_max;
} BkMap;

static inline size_t bk_map_home(const BkMap *map, uint64_t key) {
    key ^= key >> 32;
    key *= 0x9E3779B97F4A7C15u; /* 2^64 divided by the golden ratio */
    return (size_t)(key >> 32) & (map->cells_len - 1);
}

/* The key's cell, or the empty one where it belongs. There is always an empty
 * one: at most half are used. */
static inline size_t bk_map_find(const BkMap *map, uint64_t key) {
    size_t at = bk_map_home(map, key);
    while (map->cells[at].used && map->cells[at].key != key) {
        at = (at + 1) & (map->cells_len - 1);
    }
    return at;
}

static inline int bk_map_grow(BkMap *map) {
    BkMap grown = *map;
    grown.cells_len = map->cells_len == 0 ? 16 : map->cells_len * 2;
    grown.cells = (BkMapCell *)calloc(grown.cells_len, sizeof(BkMapCell));
    if (grown.cells == NULL) {
        return 0;
    }
    for (size_t i = 0; i < map->cells_len; i++) {
        if (map->cells[i].used) {
            grown.cells[bk_map_find(&grown, map->cells[i].key)] = map->cells[i];
        }
    }
    free(map->cells);
    *map = grown;
    return 1;
}

/* NULL: not there. Valid until the next put or take. */
static inline uint64_t *bk_map_get(const BkMap *map, uint64_t key) {
    if (map->len == 0) {
        return NULL;
    }
    size_t at = bk_map_find(map, key);
    return map->cells[at].used ? &map->cells[at].value : NULL;
}

/* 0: full, or no memory. A key that is there gets the new value. */
static inline int bk_map_put(BkMap *map, uint64_t key, uint64_t value) {
    uint64_t *there = bk_map_get(map, key);
    if (there != NULL) {
        *there = value;
        return 1;
    }
    if (map->len >= map->len_max || ((map->len + 1) * 2 > map->cells_len && !bk_map_grow(map))) {
        return 0;
    }
    BkMapCell *cell = &map->cells[bk_map_find(map, key)];
    cell->key = key;
    cell->value = value;
    cell->used = 1;
    map->len++;
    return 1;
}

/* 0: not there. value may be NULL. */
static inline int bk_map_take(BkMap *map, uint64_t key, uint64_t *value) {
    uint64_t *there = bk_map_get(map, key);
    if (there == NULL) {
        return 0;
    }
    if (value != NULL) {
        *value = *there;
    }
    size_t mask = map->cells_len - 1;
    size_t hole = bk_map_find(map, key);
    for (size_t at = (hole + 1) & mask; map->cells[at].used; at = (at + 1) & mask) {
        size_t from_home = (at - bk_map_home(map, map->cells[at].key)) & mask;
        if (from_home >= ((at - hole) & mask)) {
            map->cells[hole] = map->cells[at];
            hole = at;
        }
    }
    map->cells[hole].used = 0;
    map->len--;
    return 1;
}

/* Takes any one; 0: empty. */
static inline int bk_map_pop(BkMap *map, uint64_t *key, uint64_t *value) {
    for (size_t i = 0; map->len > 0 && i < map->cells_len; i++) {
        if (map->cells[i].used) {
            *key = map->cells[i].key;
            return bk_map_take(map, *key, value);
        }
    }
    return 0;
}

static inline void bk_map_free(BkMap *map) {
    free(map->cells);
    map->cells = NULL;
    map->cells_len = 0;
    map->len = 0;
}

#endif /* BECKET_MAP_H */
