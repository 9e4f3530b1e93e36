// Package changelog reads a CHANGELOG.md in the form of keepachangelog.com.
package changelog

import (
	"fmt"
	"regexp"
	"strings"
)

var heading = regexp.MustCompile(`^## \[?(?:Unreleased|([0-9]+\.[0-9]+\.[0-9]+[^\]\s]*))\]?(?: - [0-9]{4}-[0-9]{2}-[0-9]{2})?$`)

// Section returns what the changelog says of a version, v1.2.3.
func Section(changelog, version string) (string, error) {
	want := strings.TrimPrefix(version, "v")
	var section []string
	found := false
	for line := range strings.Lines(changelog) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "## ") {
			match := heading.FindStringSubmatch(line)
			if match == nil {
				return "", fmt.Errorf("CHANGELOG.md: the heading %q is neither \"## [1.2.3] - 2026-01-31\" nor \"## [Unreleased]\"", line)
			}
			if found {
				break
			}
			found = match[1] == want
			continue
		}
		if found {
			section = append(section, line)
		}
	}
	text := strings.TrimSpace(strings.Join(section, "\n"))
	if text == "" {
		return "", fmt.Errorf("CHANGELOG.md says nothing of %s: give it a section \"## [%s] - DATE\"", version, want)
	}
	return text + "\n", nil
}
