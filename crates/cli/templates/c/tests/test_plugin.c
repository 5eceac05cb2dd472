/* The plugin under a fake host: nothing is loaded, no server runs. */
#include "becket_fake_host.h"

int main(void) {
    BkFakeHost *host = bk_fake_new();
    bk_fake_config(host, "greeting", "Hi");
    BK_CHECK(bk_fake_load(host, nylon_ring_get_plugin_v1(), 1) == NR_OK);

    uint64_t sid = bk_fake_call(host, "hello", NULL, bk_fake_text("you"));
    BK_CHECK_FRAME(host, sid, NR_OK, "Hi, you");

    sid = bk_fake_stream(host, "countdown", NULL, bk_fake_text(""));
    BK_CHECK_FRAME(host, sid, NR_OK, "3");
    BK_CHECK_FRAME(host, sid, NR_OK, "2");
    BK_CHECK_FRAME(host, sid, NR_OK, "1");
    BK_CHECK_FRAME(host, sid, NR_STREAM_END, "");

    sid = bk_fake_call(host, "no-such-entry", NULL, bk_fake_text(""));
    BK_CHECK_FRAME(host, sid, NR_UNSUPPORTED, "");

    BK_CHECK(bk_fake_unload(host) == 0);
    bk_fake_free(host);
    puts("ok");
    return 0;
}
