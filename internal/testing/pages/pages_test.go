package pages

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBlocks(t *testing.T) {
	page := "# T\n<!-- not run: no GPU -->\n```sh\na\n```\n```sh\nb\nc\n```\n<!-- prints: x -->\n```text\n```sh\n```\n" +
		"<!-- fails: no right -->\n\n```sh\nd\n```\n```yaml\nk: v\n```\n"
	got, err := Blocks(page)
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{Language: "sh", Text: "a\n", Line: 3, NotRun: "no GPU"},
		{Language: "sh", Text: "b\nc\n", Line: 6, Prints: []string{"x"}},
		{Language: "text", Text: "```sh\n", Line: 11},
		{Language: "sh", Text: "d\n", Line: 16, Fails: "no right"},
		{Language: "yaml", Text: "k: v\n", Line: 19},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
}

func TestBlocksRefusesWhatHasNoEnd(t *testing.T) {
	for name, page := range map[string]string{
		"a block that does not end":            "```sh\na\n",
		"a print before any block of commands": "<!-- prints: x -->\n",
	} {
		if _, err := Blocks(page); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestDocuments(t *testing.T) {
	block := Block{Language: "sh", Text: "cat > f <<'END'\nnot yaml of ours\nEND\nkubectl apply -f - <<'END'\napiVersion: a\nkind: b\n---\napiVersion: c\nEND\nd\n"}
	want := []string{"apiVersion: a\nkind: b", "apiVersion: c\n"}
	if diff := cmp.Diff(want, Documents(block)); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}
