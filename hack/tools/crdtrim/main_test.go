package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFirstSentence(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "",
		"No end":                                "No end",
		"One. Two.":                             "One.",
		"Broken\nover lines. More\n\nand more.": "Broken over lines.",
		"Escapes, i.e. $$ are kept. Dropped.":   "Escapes, i.e. $$ are kept.",
		"A version 1.2 of it. Dropped.":         "A version 1.2 of it.",
	} {
		if got := firstSentence(text); got != want {
			t.Errorf("of %q it keeps %q, want %q", text, got, want)
		}
	}
}

func TestOnlyDescriptionsOfOthersAreCut(t *testing.T) {
	const in = `---
spec:
  schema:
    description: Ours. All of it.
    properties:
      apiVersion:
        description: Theirs. Cut.
      command:
        description: Ours too. All of it.
      env:
        description: The field is ours. All of it.
        items:
          description: Theirs. Cut.
          properties:
            description:
              description: A field of that name. Cut.
              type: string
      kind:
        description: Theirs. Cut.
      spec:
        description: Ours. All of it.
        properties:
          kind:
            description: Ours. All of it.
`
	const want = `---
spec:
  schema:
    description: Ours. All of it.
    properties:
      apiVersion:
        description: Theirs.
      command:
        description: Ours too. All of it.
      env:
        description: The field is ours. All of it.
        items:
          description: Theirs.
          properties:
            description:
              description: A field of that name.
              type: string
      kind:
        description: Theirs.
      spec:
        description: Ours. All of it.
        properties:
          kind:
            description: Ours. All of it.
`
	file := filepath.Join(t.TempDir(), "crd.yaml")
	if err := os.WriteFile(file, []byte(in), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		if err := trim(file); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("it is now\n%s\nwant\n%s", got, want)
		}
	}
}
