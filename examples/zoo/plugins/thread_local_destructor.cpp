/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Defect: leaves a C++ thread_local with a destructor on each calling thread, and
 *         promises that it may be unmapped.
 * Host:   unload returns at once; the C++ runtime keeps the image until the thread
 *         has ended, and nothing crashes then.
 * Where:  inline and process.
 */
#define ZOO_FLAGS (BK_PLUGIN_THREAD_SAFE | BK_PLUGIN_MAY_UNLOAD)
#include "zoo.h"

#include <string>

namespace {

struct LastWords {
    std::string text;
    ~LastWords() { text.clear(); }
};

thread_local LastWords last_words;

}  // namespace

static NrStatus zoo_hit(uint64_t sid, NrBytes payload) {
    (void)payload;
    last_words.text = "hit";
    zoo_send(sid, NR_OK, last_words.text.c_str());
    return NR_OK;
}

ZOO_PLUGIN("thread_local_destructor")
