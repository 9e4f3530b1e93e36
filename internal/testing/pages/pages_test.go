package pages

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBlocks(t *testing.T) {
	page := "# T\n<!-- not run: no GPU -->\n```sh\na\n```\n  ```sh\n  b\n  ```\n<!-- prints: x -->\n```text\n```sh\n```\n" +
		"<!-- fails: no right -->\n\n```sh\nd\n```\n```text\nno\n```\n<!-- eventually: slow -->\n```sh\ne\n```\n```yaml\nk: v\n```\n```{toctree}\nx\n```\n"
	got, err := Blocks(page)
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{Language: "sh", Text: "a\n", Line: 3, NotRun: "no GPU"},
		{Language: "sh", Text: "  b\n", Line: 6, Want: "x\n"},
		{Language: "text", Text: "```sh\n", Line: 10},
		{Language: "sh", Text: "d\n", Line: 15, Fails: true, Want: "no\n"},
		{Language: "text", Text: "no\n", Line: 18},
		{Language: "sh", Text: "e\n", Line: 22, Eventually: true},
		{Language: "yaml", Text: "k: v\n", Line: 25},
		{Language: "{toctree}", Text: "x\n", Line: 28},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
}

func TestBlocksRefuses(t *testing.T) {
	for name, page := range map[string]string{
		"a block that does not end":            "```sh\na\n",
		"a print before any block of commands": "<!-- prints: x -->\n",
		"a mark before other blocks":           "<!-- fails: x -->\n```yaml\na: b\n```\n",
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
