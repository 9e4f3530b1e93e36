package trim

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const smaps = `00400000-00a00000 r-xp 00000000 fe:00 994 /usr/bin/sampler
Rss:                4096 kB
Anonymous:             0 kB
00a00000-00b00000 r--p 00600000 fe:00 994 /usr/bin/sampler
Rss:                1024 kB
Anonymous:            16 kB
00b00000-00c00000 r--p 00700000 fe:00 994 /usr/bin/sampler
Anonymous:             0 kB
00c00000-00d00000 rw-p 00800000 fe:00 994 /usr/bin/sampler
Anonymous:             0 kB
7f0000000000-7f0000100000 r-xp 00000000 fe:00 995 /usr/lib/libc.so
Anonymous:             0 kB
7f0000200000-7f0000300000 rw-p 00000000 00:00 0
Anonymous:            64 kB
`

func TestOnlyPagesThatNobodyWroteToAreDropped(t *testing.T) {
	got, err := clean(strings.NewReader(smaps), "/usr/bin/sampler")
	if err != nil {
		t.Fatal(err)
	}
	want := []segment{{0x400000, 0xa00000}, {0xb00000, 0xc00000}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(segment{})); diff != "" {
		t.Errorf("segments (-want +got):\n%s", diff)
	}
}

// fileKiB is how much of this process' memory is pages of files.
func fileKiB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("RssFile:")); ok {
			n, err := strconv.Atoi(strings.Fields(string(value))[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the kernel does not say RssFile")
	return 0
}

func TestTheProgramRunsOnWithoutItsPages(t *testing.T) {
	before := fileKiB(t)
	if err := Start(); err != nil {
		t.Fatal(err)
	}
	if after := fileKiB(t); after >= before {
		t.Errorf("%d KiB of the program before and %d after, want less", before, after)
	}
}
