package cli

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// A program that has given up its own pages goes on.
func TestForgetStart(t *testing.T) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip("no smaps here: ", err)
	}
	if len(cleanMappings(maps, program)) == 0 {
		t.Errorf("nothing of %s is given up:\n%.2000s", program, maps)
	}
	for range 3 {
		forgetStart()
	}
	if diff := cmp.Diff([]mapping(nil), cleanMappings(maps, program+"x"), cmp.AllowUnexported(mapping{})); diff != "" {
		t.Errorf("of another file:\n%s", diff)
	}
}
