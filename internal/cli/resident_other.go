//go:build !linux

package cli

import "runtime/debug"

// forgetStart returns the garbage of the start to the system.
func forgetStart() { debug.FreeOSMemory() }
