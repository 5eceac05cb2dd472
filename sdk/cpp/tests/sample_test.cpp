// SPDX-License-Identifier: BSD-3-Clause
// The sample plugin in C++, linked in.
#include "../../../examples/plugins/cpp/plugin.cpp"
#include "../../c/tests/sample_suite.h"

int main() { return sample_suite("sample-cpp", "cpp"); }
