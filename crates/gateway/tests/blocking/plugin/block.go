// SPDX-License-Identifier: BSD-3-Clause

// Command blocks is the plugin of blocks.c, which blocks in Go.
package main

// #cgo CFLAGS: -DBLOCK_ELSEWHERE
// #include <stdint.h>
import "C"

import "time"

//export becket_block
func becket_block(ms C.uint64_t) { time.Sleep(time.Duration(ms) * time.Millisecond) }

func main() {}
