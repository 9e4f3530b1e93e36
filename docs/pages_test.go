package docs_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// pagesOf returns the documents that are written by hand.
func pagesOf(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"../*.md", "*.md", "decisions/*.md", "../examples/*/*.md", "../hack/cluster/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if file != "api.md" {
				out[file] = read(t, file)
			}
		}
	}
	if len(out) < 6 {
		t.Fatalf("only %d pages found", len(out))
	}
	return out
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// blocks returns the fenced blocks of one language.
func blocks(page, language string) []string {
	var out []string
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		if m[1] == language {
			out = append(out, m[2])
		}
	}
	return out
}

func TestYAMLBlocksAreWhatTheOperatorTakes(t *testing.T) {
	checked := 0
	for _, file := range slices.Sorted(maps.Keys(pagesOf(t))) {
		for _, block := range blocks(pagesOf(t)[file], "yaml") {
			for document := range strings.SplitSeq(block, "\n---\n") {
				if problem := checkDocument(document); problem != "" {
					t.Errorf("%s: %s in this block:\n%s", file, problem, document)
				}
				checked++
			}
		}
	}
	if checked < 10 {
		t.Fatalf("only %d YAML documents found", checked)
	}
}

// valuesMark is the first line of a block with values of the chart.
const valuesMark = "# my-values.yaml\n"

// checkDocument returns what is wrong with a document, "" if nothing. What has
// no kind is a part of one of ours if it begins with spec; parts of others'
// objects only have to be YAML.
func checkDocument(document string) string {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       any    `json:"spec"`
	}
	data := []byte(document)
	if err := yaml.Unmarshal(data, &head); err != nil {
		return err.Error()
	}
	var err error
	switch {
	case head.APIVersion == config.APIVersion:
		_, err = config.Decode(data)
	case head.Kind == mcpv1alpha1.KindMCPServer:
		return checkServer(data)
	case head.Kind == "SamplingPolicy":
		return checkPolicy(data)
	case head.Kind == "NetworkPolicy":
		err = yaml.UnmarshalStrict(data, &networkingv1.NetworkPolicy{})
	case head.Kind == "Role":
		err = yaml.UnmarshalStrict(data, &rbacv1.Role{})
	case head.Kind == "RoleBinding":
		err = yaml.UnmarshalStrict(data, &rbacv1.RoleBinding{})
	case head.Kind == "" && head.Spec != nil:
		if err = yaml.UnmarshalStrict(data, &mcpv1alpha1.SamplingPolicy{}); err != nil && checkPart(data) == "" {
			err = nil
		}
	case head.Kind == "" && strings.HasPrefix(document, valuesMark):
		return checkValues(data)
	case head.Kind == "":
	default:
		return "nothing here knows kind " + head.Kind
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func checkPolicy(data []byte) string {
	var policy mcpv1alpha1.SamplingPolicy
	if err := yaml.UnmarshalStrict(data, &policy); err != nil {
		return err.Error()
	}
	if policy.APIVersion != mcpv1alpha1.GroupVersion.String() {
		return "apiVersion is " + policy.APIVersion
	}
	if _, err := resolve.EffectivePolicy(&policy); err != nil {
		return err.Error()
	}
	return ""
}

func checkServer(data []byte) string {
	var server mcpv1alpha1.MCPServer
	if err := yaml.UnmarshalStrict(data, &server); err != nil {
		return err.Error()
	}
	if server.APIVersion != mcpv1alpha1.GroupVersion.String() {
		return "apiVersion is " + server.APIVersion
	}
	sources := 0
	for _, is := range []bool{server.Spec.Container != nil, server.Spec.Service != nil, server.Spec.Remote != nil} {
		if is {
			sources++
		}
	}
	if sources != 1 {
		return "it has no source, or several"
	}
	return checkSpec(&server)
}

// checkSpec plans and builds a server.
func checkSpec(server *mcpv1alpha1.MCPServer) string {
	in := resolve.Input{Server: server}
	if source := server.Spec.Service; source != nil {
		in.Service = &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: source.Port}}}}
	}
	plan := resolve.Server(in)
	objects, err := build.For(server, plan, nil, build.Options{SamplerImage: "sampler"})
	if err != nil {
		return err.Error()
	}
	for _, refusal := range append(plan.Refusals, objects.Refusals...) {
		return refusal.Message
	}
	return ""
}

// checkPart checks a part of an MCPServer, as if it had a name and a source.
func checkPart(data []byte) string {
	var server mcpv1alpha1.MCPServer
	if err := yaml.UnmarshalStrict(data, &server); err != nil {
		return err.Error()
	}
	server.Name = "any"
	return checkSpec(&server)
}

// checkValues holds a block to the values of the chart.
func checkValues(data []byte) string {
	var block, known map[string]any
	if err := yaml.UnmarshalStrict(data, &block); err != nil {
		return err.Error()
	}
	values, err := os.ReadFile("../charts/mcp-sampling-operator/values.yaml")
	if err != nil {
		return err.Error()
	}
	if err := yaml.Unmarshal(values, &known); err != nil {
		return err.Error()
	}
	return unknownKey("", block, known)
}

func unknownKey(at string, block, known map[string]any) string {
	for _, key := range slices.Sorted(maps.Keys(block)) {
		value, ok := known[key]
		if !ok {
			return "the chart has no value " + at + key
		}
		inner, isMap := block[key].(map[string]any)
		of, wasMap := value.(map[string]any)
		// A map that is empty by default takes any key.
		if isMap && wasMap && len(of) > 0 {
			if problem := unknownKey(at+key+".", inner, of); problem != "" {
				return problem
			}
		}
	}
	return ""
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	all := pagesOf(t)
	for _, file := range slices.Sorted(maps.Keys(all)) {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(all[file], ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), path)
			}
			info, err := os.Stat(target)
			if err != nil {
				t.Errorf("%s: the link %s leads nowhere", file, m[1])
				continue
			}
			if anchor != "" && (info.IsDir() || !slices.Contains(anchors(read(t, target)), anchor)) {
				t.Errorf("%s: %s has no heading for #%s", file, target, anchor)
			}
		}
	}
}

var notInAnchor = regexp.MustCompile(`[^a-z0-9 _-]`)

// anchors returns the anchors of a page's headings, as GitHub makes them.
func anchors(page string) []string {
	var out []string
	for line := range strings.Lines(fence.ReplaceAllString(page, "")) {
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			text := notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			out = append(out, strings.ReplaceAll(text, " ", "-"))
		}
	}
	return out
}

var (
	makeCommand = regexp.MustCompile("(?m)(?:^|`|&& |=[a-z]+ )make ([a-z][a-z0-9 -]*)")
	makeTarget  = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
	script      = regexp.MustCompile("(?:^|[\\s`(\"])((?:hack|examples|cmd|charts|config|test|docs)/[A-Za-z0-9_./-]*[A-Za-z0-9_])")
)

func TestCommandsNameWhatIsThere(t *testing.T) {
	var targets []string
	for _, m := range makeTarget.FindAllStringSubmatch(read(t, "../Makefile"), -1) {
		targets = append(targets, m[1])
	}
	all := pagesOf(t)
	for _, file := range slices.Sorted(maps.Keys(all)) {
		for _, m := range makeCommand.FindAllStringSubmatch(all[file], -1) {
			for target := range strings.FieldsSeq(m[1]) {
				if !slices.Contains(targets, target) {
					t.Errorf("%s: `make %s` names a target that the Makefile does not have: %s", file, m[1], target)
				}
			}
		}
		if strings.HasPrefix(file, "../hack/") {
			continue // its paths are relative to its own folder
		}
		for _, m := range script.FindAllStringSubmatch(all[file], -1) {
			path := filepath.Join("..", strings.TrimSuffix(m[1], "/..."))
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s names %s, which is not there", file, m[1])
			}
		}
	}
}

func TestDecisionsAreNumberedAndDated(t *testing.T) {
	files, err := filepath.Glob("decisions/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no decisions: %v", err)
	}
	numbered := regexp.MustCompile(`^decisions/[0-9]{4}-[a-z0-9-]+\.md$`)
	dated := regexp.MustCompile(`(?m)^([0-9]{4}-[0-9]{2}-[0-9]{2})\. `)
	for _, file := range files {
		if file == "decisions/index.md" {
			continue
		}
		if !numbered.MatchString(file) {
			t.Errorf("%s: name it NNNN-what-was-decided.md", file)
		}
		m := dated.FindStringSubmatch(read(t, file))
		if m == nil {
			t.Errorf("%s: the line below the title begins with the date and a full stop", file)
			continue
		}
		if _, err := time.Parse(time.DateOnly, m[1]); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
