package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

var rightsRow = regexp.MustCompile("(?m)^\\| (core|`[a-z0-9.-]+`) \\| `([a-z/]+)` \\| ([a-z, ]+) \\| .+ \\|$")

// What security.md says of the manager's rights is what it has.
func TestRightsOfTheManagerAreThoseOfTheRole(t *testing.T) {
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict([]byte(strings.TrimPrefix(read(t, "../config/rbac/role.yaml"), "---\n")), &role); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for _, rule := range role.Rules {
		if len(rule.ResourceNames)+len(rule.NonResourceURLs) > 0 {
			t.Errorf("security.md has no column for %v", rule)
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				key := group + " " + resource
				want[key] = slices.Sorted(slices.Values(append(want[key], rule.Verbs...)))
			}
		}
	}
	_, section, _ := strings.Cut(read(t, "security.md"), "\n## Rights of the manager\n")
	section, _, _ = strings.Cut(section, "\n## ")
	got := map[string][]string{}
	for _, row := range rightsRow.FindAllStringSubmatch(section, -1) {
		group := strings.Trim(row[1], "`")
		if group == "core" {
			group = ""
		}
		got[group+" "+row[2]] = strings.Split(row[3], ", ")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rights in config/rbac/role.yaml and in security.md: write a row, with the reason (-role +page):\n%s", diff)
	}
}
