package records

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"flag"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func all(t *testing.T) []Record {
	t.Helper()
	log, err := os.Open("testdata/sampler.log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var list []Record
	if err := Read(log, func(r Record) bool { list = append(list, r); return true }); err != nil {
		t.Fatal(err)
	}
	return list
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// One of the records has a field of another type, as another release may write it.
func TestLines(t *testing.T) {
	var b strings.Builder
	for _, r := range all(t) {
		b.WriteString(r.Line(terminal.Painter{}, true) + "\n")
	}
	golden(t, "testdata/lines.txt", b.String())
}

func TestUsage(t *testing.T) {
	u := Sum(all(t))
	u.Notes = []string{"From the log of 1 sampler pod."}
	var out bytes.Buffer
	if err := u.WriteText(&out, terminal.Painter{}, true); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/usage.txt", out.String())
	out.Reset()
	if err := terminal.JSON(&out, u); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/usage.json", out.String())
	out.Reset()
	if err := Sum(nil).WriteText(&out, terminal.Painter{}, false); err != nil || out.String() != "No sampling requests.\n" {
		t.Errorf("of nothing it says %q (%v)", out.String(), err)
	}
}

func TestALineThatIsTooLongIsLeftOut(t *testing.T) {
	log := `{"type":"audit","server":"` + strings.Repeat("x", maxLine) + `"}` + "\n" + `{"type":"audit","server":"b"}`
	var servers []string
	if err := Read(strings.NewReader(log), func(r Record) bool { servers = append(servers, r.Server); return true }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b"}, servers); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
