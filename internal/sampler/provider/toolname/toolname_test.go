package toolname_test

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/toolname"
)

func TestMap(t *testing.T) {
	letterFirst := func(i int, r rune) bool { return toolname.Identifier(i, r) && (i > 0 || r < '0' || r > '9') }
	for name, tc := range map[string]struct {
		names []string
		rule  toolname.Rule
		want  []string
	}{
		"names that fit stay":                {[]string{"a", "get_weather-2", "A"}, toolname.Identifier, []string{"a", "get_weather-2", "A"}},
		"a name is replaced readably":        {[]string{"files/read", "süß"}, toolname.Identifier, []string{"files_read", "s__"}},
		"a name that fits keeps its own":     {[]string{"a.b", "a_b"}, toolname.Identifier, []string{"a_b_2e7336dc", "a_b"}},
		"of two, both say which they are":    {[]string{"a.b", "a/b"}, toolname.Identifier, []string{"a_b_2e7336dc", "a_b_c14cddc0"}},
		"a long name keeps its beginning":    {[]string{strings.Repeat("x", 65)}, toolname.Identifier, []string{strings.Repeat("x", 55) + "_9537c5fd"}},
		"a name may come twice":              {[]string{"a.b", "a.b", "c", "c"}, toolname.Identifier, []string{"a_b", "a_b", "c", "c"}},
		"an empty name gets one":             {[]string{""}, toolname.Identifier, []string{"x"}},
		"a start that is allowed later only": {[]string{"1st", ".x"}, letterFirst, []string{"x_1st", "_x"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := toolname.New(tc.names, tc.rule, 64)
			var got []string
			for _, name := range tc.names {
				out := m.Out(name)
				got = append(got, out)
				if back, ok := m.Back(out); !ok || back != name {
					t.Errorf("%q became %q and came back as %q, %t", name, out, back, ok)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			if back, ok := m.Back("made_up"); ok || back != "made_up" {
				t.Errorf("a name that a model made up came back as %q, %t", back, ok)
			}
		})
	}
}

// Whatever the names are, what goes out is allowed, unique, the same in any
// order, and comes back.
func TestNamesAreUniqueAndAllowed(t *testing.T) {
	allowed := regexp.MustCompile(`^[a-zA-Z0-9_-]{1,16}$`)
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []rune("ab_-./ é界\xff")
	for range 500 {
		var names []string
		for range 1 + random.IntN(40) {
			name := make([]rune, random.IntN(20))
			for i := range name {
				name[i] = alphabet[random.IntN(len(alphabet))]
			}
			if text := string(name); !slices.Contains(names, text) {
				names = append(names, text)
			}
		}
		m := toolname.New(names, toolname.Identifier, 16)
		shuffled := slices.Clone(names)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		other := toolname.New(shuffled, toolname.Identifier, 16)
		seen := map[string]string{}
		for _, name := range names {
			out := m.Out(name)
			if !allowed.MatchString(out) {
				t.Fatalf("%q became %q, which is not allowed", name, out)
			}
			if twin, ok := seen[out]; ok {
				t.Fatalf("%q and %q both became %q", twin, name, out)
			}
			seen[out] = name
			if back, ok := m.Back(out); !ok || back != name {
				t.Fatalf("%q became %q and came back as %q", name, out, back)
			}
			if got := other.Out(name); got != out {
				t.Fatalf("%q became %q, and %q in another order", name, out, got)
			}
		}
	}
}

// Whoever offers the names knows how they are replaced, and may offer the
// replacements too.
func TestReplacementsThatAreTakenAreReplaced(t *testing.T) {
	unfit := strings.Repeat("x", 65)
	names := []string{unfit}
	for range 20 {
		m := toolname.New(names, toolname.Identifier, 64)
		out := m.Out(unfit)
		if slices.Contains(names, out) || len(out) > 64 {
			t.Fatalf("among %d names it became %q", len(names), out)
		}
		if back, ok := m.Back(out); !ok || back != unfit {
			t.Fatalf("%q came back as %q", out, back)
		}
		names = append(names, out)
	}
}
