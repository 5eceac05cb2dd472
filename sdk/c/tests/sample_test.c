/* SPDX-License-Identifier: BSD-3-Clause */
/* The sample plugin in C, linked in. */
#include "../../../examples/plugins/c/plugin.c"
#include "sample_suite.h"

int main(void) { return sample_suite("sample-c", "c"); }
