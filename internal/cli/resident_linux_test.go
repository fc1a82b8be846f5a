package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const smaps = `00400000-00403000 r--p 00000000 fe:00 10495009                           /opt/my programs/wxbridge
Rss:                  12 kB
Private_Dirty:        12 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
00403000-01297000 r-xp 00003000 fe:00 10495009                           /opt/my programs/wxbridge
Anonymous:             0 kB
0212e000-02131000 r--p 01d2e000 fe:00 10495009                           /opt/my programs/wxbridge
Anonymous:             4 kB
02131000-021bf000 rw-p 01d31000 fe:00 10495009                           /opt/my programs/wxbridge
Anonymous:             0 kB
021bf000-04207000 rw-p 00000000 00:00 0 
Anonymous:           120 kB
7f10000000-7f10100000 r-xp 00000000 fe:00 326269                         /usr/lib/libc.so.6
Anonymous:             0 kB
7f10200000-7f10300000 r--s 00000000 fe:00 4711                           /opt/my programs/wxbridge
Anonymous:             0 kB
7f10400000-7f10500000 r--p 00000000 fe:00 4712                           /opt/my programs/wxbridge (deleted)
Anonymous:             0 kB
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
Anonymous:             0 kB
not-addresses r--p 00000000 fe:00 10495009                               /opt/my programs/wxbridge
`

// What was changed in memory stays: only the file's own, unchanged pages are given up.
func TestCleanMappings(t *testing.T) {
	want := []mapping{{0x400000, 0x403000}, {0x403000, 0x1297000}}
	if diff := cmp.Diff(want, cleanMappings([]byte(smaps), "/opt/my programs/wxbridge"), cmp.AllowUnexported(mapping{})); diff != "" {
		t.Errorf("mappings (-want +got):\n%s", diff)
	}
	for end := range len(smaps) { // whatever is cut off
		cleanMappings([]byte(smaps[:end]), "/opt/my programs/wxbridge")
	}
}

// A program that has given up its own pages has fewer of them, and goes on.
func TestForgetStart(t *testing.T) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	before, given := residentOf(t, program)
	if given == 0 {
		t.Fatalf("nothing of %s is given up", program)
	}
	forgetStart()
	after, _ := residentOf(t, program)
	if after >= before {
		t.Errorf("%d KiB of the program were resident, %d are now", before, after)
	}
	forgetStart()
}

// A file that was just written is no longer in the system's cache.
func TestForgetCached(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	before := cachedPages(t, file)
	if before == 0 {
		t.Skip("this file system does not say what is cached")
	}
	forgetCached(file)
	if after := cachedPages(t, file); after > before/10 {
		t.Errorf("%d pages were cached, %d are now", before, after)
	}
	forgetCached(file + "-missing")
}

func cachedPages(t *testing.T, file string) uint64 {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		t.Skip("on a file system that has nothing but the cache")
	}
	var stat unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &stat, 0); err != nil {
		t.Skip("no cachestat(2) here: ", err)
	}
	return stat.Cache
}

// residentOf adds up, in KiB, what is resident of a file's mappings that could be given up, and counts these.
func residentOf(t *testing.T, program string) (kib, mappings int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip("no smaps here: ", err)
	}
	clean := cleanMappings(text, program)
	mine := false
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, " ")
		if m, is := mappingOf(name); is {
			mine = slices.Contains(clean, m)
		} else if mine && name == "Rss:" {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			kib += n
		}
	}
	return kib, len(clean)
}
