//go:build !cgo

package db

// SQLite is C. Without this line the compiler would complain about the driver's missing methods instead.
var _ = this_program_needs_cgo__install_gcc_and_build_with_CGO_ENABLED_1
