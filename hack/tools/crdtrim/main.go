// Command crdtrim shortens what Kubernetes says of its own types in the CRDs to
// the first sentence of each description. A CRD must stay small, and users read
// the whole text in Kubernetes' own reference; ours is left as it is.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// foreign are the fields with a type of Kubernetes. Their own description is
// ours; what is below them is not.
var foreign = []string{"conditions", "env", "envFrom", "resources", "securityContext", "volumeMounts"}

func main() {
	flag.Parse()
	for _, file := range flag.Args() {
		if err := trim(file); err != nil {
			fmt.Fprintln(os.Stderr, "crdtrim:", err)
			os.Exit(1)
		}
	}
}

func trim(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading a CRD: %w", err)
	}
	var crd map[string]any
	if err := yaml.Unmarshal(data, &crd); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	walk(crd, false)
	out, err := yaml.Marshal(crd)
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return os.WriteFile(file, append([]byte("---\n"), out...), 0o644)
}

// walk goes through schemas; inside says whether it is below a foreign field.
func walk(node any, inside bool) {
	switch n := node.(type) {
	case []any:
		for _, item := range n {
			walk(item, inside)
		}
	case map[string]any:
		for key, value := range n {
			text, isText := value.(string)
			switch {
			case inside && isText && key == "description":
				n[key] = firstSentence(text)
			case key == "properties":
				properties(value, inside)
			default:
				walk(value, inside)
			}
		}
	}
}

func properties(node any, inside bool) {
	fields, _ := node.(map[string]any)
	root := fields["apiVersion"] != nil && fields["kind"] != nil // which are Kubernetes' own
	for name, field := range fields {
		schema, _ := field.(map[string]any)
		if root && (name == "apiVersion" || name == "kind") {
			walk(schema, true)
			continue
		}
		if inside || !slices.Contains(foreign, name) {
			walk(schema, inside)
			continue
		}
		ours, described := schema["description"]
		walk(schema, true)
		if described {
			schema["description"] = ours
		}
	}
}

// end is where a sentence ends: not after the dots of "e.g." and "i.e.".
var end = regexp.MustCompile(`(?:[^.]{3}|\)|")[.](?: |$)`)

func firstSentence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if at := end.FindStringIndex(text); at != nil {
		text = strings.TrimRight(text[:at[1]], " ")
	}
	return text
}
