package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// writeSection replaces what stands between the marks of a section in a page.
func writeSection(file, name, text string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	changed, err := replaceSection(string(page), name, measuredOn()+text)
	if err != nil {
		return fmt.Errorf("write the results into %s: %w", file, err)
	}
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil { //nolint:gosec // a page that everybody reads
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

func replaceSection(page, name, text string) (string, error) {
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->\n"
	head, rest, found := strings.Cut(page, begin)
	_, foot, ended := strings.Cut(rest, end)
	if !found || !ended {
		return "", fmt.Errorf("the marks of section %s are missing", name)
	}
	return head + begin + "\n" + strings.TrimSpace(text) + "\n\n" + end + foot, nil
}

// measuredOn says when and on what.
func measuredOn() string {
	return fmt.Sprintf("Measured on %s with %s, %d processors (%s/%s).\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}
