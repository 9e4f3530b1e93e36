// Package site looks at the built site as a browser without a network does.
package site

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// loaded are the ways in which a page, a style or a picture has something loaded
// from another host. A link that a reader may follow is none of them.
var loaded = map[string][]*regexp.Regexp{
	".html": {
		regexp.MustCompile(`(?i)\s(?:src|srcset|poster|data|action|background)\s*=\s*["']?\s*(?:https?:)?//[^"'\s>]*`),
		regexp.MustCompile(`(?i)<link\b[^>]*\shref\s*=\s*["']?\s*(?:https?:)?//[^"'\s>]*`),
		regexp.MustCompile(`(?i)url\(\s*["']?(?:https?:)?//[^)]*`),
	},
	".css": {
		regexp.MustCompile(`(?i)url\(\s*["']?(?:https?:)?//[^)]*`),
		regexp.MustCompile(`(?i)@import\s+["'](?:https?:)?//[^"']*`),
	},
	".svg": {
		regexp.MustCompile(`(?i)\shref\s*=\s*["'](?:https?:)?//[^"']*`),
		regexp.MustCompile(`(?i)url\(\s*["']?(?:https?:)?//[^)]*`),
		regexp.MustCompile(`(?i)@import[^;]*`),
	},
	".js": {
		regexp.MustCompile("[\"'`](?:https?:)?//[a-zA-Z0-9][^\"'`\\s]*"),
	},
}

// names are addresses that nobody ever asks: those of XML's vocabularies.
var names = regexp.MustCompile(`http://www\.w3\.org/`)

func outside(extension, text string) []string {
	var found []string
	for _, way := range loaded[extension] {
		for _, hit := range way.FindAllString(text, -1) {
			if !names.MatchString(hit) {
				found = append(found, strings.TrimSpace(hit))
			}
		}
	}
	return found
}

func TestOutsideFindsEveryWay(t *testing.T) {
	for name, test := range map[string]struct {
		extension, text string
		want            bool
	}{
		"a script of a CDN":                {".html", `<script src="https://cdn.example.com/x.js">`, true},
		"a style without a scheme":         {".html", `<link rel="stylesheet" href="//fonts.example.com/css">`, true},
		"a font of a style":                {".css", `src: url( 'https://fonts.example.com/x.woff2')`, true},
		"an imported style":                {".css", `@import "https://fonts.example.com/css";`, true},
		"a picture in a picture":           {".svg", `<image href="https://example.com/x.png">`, true},
		"a request of a script":            {".js", "fetch(`https://api.example.com/stars`)", true},
		"a link that a reader may follow":  {".html", `<a class="x" href="https://example.com/">`, false},
		"a file beside it":                 {".html", `<script src="_static/x.js"></script>`, false},
		"the name of a vocabulary":         {".js", `createElementNS("http://www.w3.org/2000/svg")`, false},
		"a comment of a script about some": {".js", "// see https://example.com/", false},
	} {
		if got := len(outside(test.extension, test.text)) > 0; got != test.want {
			t.Errorf("%s: found %v, want %v", name, got, test.want)
		}
	}
}

// The build itself fails for a link or an anchor that leads nowhere, and for a
// page that is in no table of contents.
func TestTheSiteBuildsAndLoadsNothingFromElsewhere(t *testing.T) {
	folder := t.TempDir()
	build := exec.CommandContext(t.Context(), "../../../hack/docs.sh", folder)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("hack/docs.sh: %v\n%s", err, out)
	}
	html, pictures := 0, 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		extension := filepath.Ext(path)
		switch extension {
		case ".html":
			html++
		case ".svg":
			pictures++
		}
		for _, hit := range outside(extension, string(data)) {
			t.Errorf("%s has this loaded from elsewhere: %s", strings.TrimPrefix(path, folder+"/"), hit)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if html < 30 || pictures < 3 {
		t.Errorf("%d pages and %d pictures were built: has something moved?", html, pictures)
	}
	index, err := os.ReadFile(filepath.Join(folder, "searchindex.js"))
	if err != nil || !strings.Contains(string(index), "first-server") {
		t.Errorf("search does not know the page first-server (%v)", err)
	}
}
