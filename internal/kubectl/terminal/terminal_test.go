package terminal

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestWhatOthersWroteIsOnlyText(t *testing.T) {
	for name, tc := range map[string]struct{ in, wantLine, wantBlock string }{
		"plain text stays":          {"naïve ✓ 字", "naïve ✓ 字", "naïve ✓ 字"},
		"lines and tabs":            {"a\r\n\tb", "a   b", "a\n\tb"},
		"colours":                   {"\x1b[31mred", `\u001b[31mred`, `\u001b[31mred`},
		"a title of the window":     {"\x1b]0;x\x07", `\u001b]0;x\u0007`, `\u001b]0;x\u0007`},
		"a carriage return alone":   {"safe\rbad", "safe bad", `safe\u000dbad`},
		"a control of eight bits":   {"\u009b31m", `\u009b31m`, `\u009b31m`},
		"what turns text round":     {"a\u202eb", `a\u202eb`, `a\u202eb`},
		"bytes that are no UTF-8":   {"a\xffb", `a\xffb`, `a\xffb`},
		"what is above the 16 bits": {"\U000e0001", `\U000e0001`, `\U000e0001`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Line(tc.in); got != tc.wantLine {
				t.Errorf("Line is %q, want %q", got, tc.wantLine)
			}
			if got := Block(tc.in); got != tc.wantBlock {
				t.Errorf("Block is %q, want %q", got, tc.wantBlock)
			}
		})
	}
}

func TestJSONHidesNothingAndLosesNothing(t *testing.T) {
	want := "a\x1b\u009b\u202e\U000e0001<é>"
	var out bytes.Buffer
	if err := JSON(&out, want); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got != want {
		t.Errorf("it reads as %q (%v), want %q", got, err, want)
	}
	for _, r := range out.String() {
		if hidden(r) {
			t.Errorf("%q holds %U", out.String(), r)
		}
	}
}

func TestColoursAreForTerminals(t *testing.T) {
	if got := Paint(&bytes.Buffer{}).Text(Bad, "x"); got != "x" {
		t.Errorf("in a file it is %q", got)
	}
	if got := Colours().Text(Bad, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("on a terminal it is %q", got)
	}
}
