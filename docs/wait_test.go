package docs_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var waitsFor = regexp.MustCompile(`--for=condition=(\w+) (mcps|smp)`)

// Who applies something wants to know when it works: pages say how to wait, and
// for conditions that there are.
func TestPagesThatApplyAlsoWait(t *testing.T) {
	conditions := map[string]bool{}
	for name, value := range stringConstants(t, "../api/v1alpha1/conditions.go") {
		if strings.HasPrefix(name, "Condition") {
			conditions[value] = true
		}
	}
	all, found := pagesOf(t), 0
	for _, file := range slices.Sorted(maps.Keys(all)) {
		for _, m := range waitsFor.FindAllStringSubmatch(all[file], -1) {
			found++
			if !conditions[m[1]] {
				t.Errorf("%s waits for %q, which is no condition of ours", file, m[1])
			}
			if want := map[string]string{"mcps": "Ready", "smp": "Programmed"}[m[2]]; m[1] != want {
				t.Errorf("%s waits for %s of %s, want %s, which is true when all is well", file, m[1], m[2], want)
			}
		}
		for _, block := range blocks(all[file], "sh") {
			waits := waitsFor.MatchString(block) || strings.Contains(block, "kubectl rollout status")
			if strings.Contains(block, "kubectl apply -f") && !waits {
				t.Errorf("%s applies and does not wait, in this block:\n%s", file, block)
			}
		}
	}
	if found < 5 {
		t.Errorf("pages wait %d times only: has the pattern changed?", found)
	}
}
