package cli

import (
	"bufio"
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// forgetStart ends the residence of what only the start needed: garbage, and the pages of the program's file. The kernel maps
// whatever of them lies around one that is touched, so that nearly all of the file counts as memory of the process although
// most of it is never looked at again. Afterwards what is touched is mapped again. Nothing depends on it: what a kernel
// refuses is left as it is.
func forgetStart() {
	debug.FreeOSMemory()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range cleanMappings(maps, program) {
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.start, m.end-m.start, syscall.MADV_DONTNEED)
	}
	forgetCached(program)
}

// forgetCached takes a file out of the system's cache. What has been written there in one go, as a linker does, lies in it in
// pieces of up to 2 MiB, and a piece is mapped as a whole; what is read again lies in small ones. Pages that have not reached
// the disk stay, hence the sync.
func forgetCached(file string) {
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer f.Close()
	if f.Sync() == nil {
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
}

type mapping struct{ start, end uintptr }

// cleanMappings finds in the text of /proc/self/smaps (proc_pid_smaps(5)) where a file is mapped without a page that differs
// from the file: such a page, an anonymous one, would be lost with the mapping.
func cleanMappings(smaps []byte, file string) (clean []mapping) {
	last := false // the lines are of the mapping that was appended last
	for lines := bufio.NewScanner(bytes.NewReader(smaps)); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		value := strings.TrimSpace(rest)
		switch {
		case !strings.HasSuffix(name, ":"):
			var m mapping
			if m, last = mappingOf(name); last {
				last = isReadOnly(value) && strings.HasSuffix(value, " "+file)
			}
			if last {
				clean = append(clean, m)
			}
		case last && name == "Anonymous:" && value != "0 kB":
			clean, last = clean[:len(clean)-1], false
		}
	}
	return clean
}

// mappingOf parses addresses such as "00400000-00403000".
func mappingOf(addresses string) (m mapping, ok bool) {
	from, to, _ := strings.Cut(addresses, "-")
	start, err := strconv.ParseUint(from, 16, strconv.IntSize)
	if err != nil {
		return m, false
	}
	end, err := strconv.ParseUint(to, 16, strconv.IntSize)
	if err != nil || end <= start {
		return m, false
	}
	return mapping{uintptr(start), uintptr(end)}, true
}

func isReadOnly(permissions string) bool {
	return strings.HasPrefix(permissions, "r--p") || strings.HasPrefix(permissions, "r-xp")
}
