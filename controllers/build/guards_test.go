package build_test

import (
	stdcmp "cmp"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
)

func serverWith(change func(*mcpv1alpha1.MCPServerSpec)) *mcpv1alpha1.MCPServer {
	server := &mcpv1alpha1.MCPServer{
		ObjectMeta: metav1.ObjectMeta{Name: "demo", Namespace: "team"},
		Spec:       mcpv1alpha1.MCPServerSpec{Container: &mcpv1alpha1.ServerContainer{Image: "any"}},
	}
	change(&server.Spec)
	return server
}

// built returns the objects by "Kind/name".
func built(t *testing.T, server *mcpv1alpha1.MCPServer, opts build.Options) (map[string]map[string]any, build.Objects) {
	t.Helper()
	return builtBeside(t, server, nil, opts)
}

func builtBeside(t *testing.T, server *mcpv1alpha1.MCPServer, live *appsv1.Deployment, opts build.Options) (map[string]map[string]any, build.Objects) {
	t.Helper()
	objects, err := build.For(server, resolve.Server(resolve.Input{Server: server}), live, opts)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]any{}
	for _, o := range objects.Apply {
		object := toMap(t, o)
		metadata, _ := object["metadata"].(map[string]any)
		out[fmt.Sprintf("%s/%s", object["kind"], metadata["name"])] = object
	}
	return out, objects
}

// Who may write an MCPServer need not be one who may create pods like these.
func TestPodsThatAskForTooMuchAreRefused(t *testing.T) {
	const ofServer, ofSampler = "Deployment/demo-server", "Deployment/demo-sampler"
	for name, tc := range map[string]struct {
		patch     string
		level     build.PodSecurity
		wantWords string
	}{
		"a folder of the node":                 {patch: `{"spec":{"volumes":[{"name":"x","hostPath":{"path":"/"}}]}}`, wantWords: "hostPath"},
		"the network of the node":              {patch: `{"spec":{"hostNetwork":true}}`, wantWords: "hostNetwork"},
		"the processes of the node":            {patch: `{"spec":{"hostPID":true}}`, wantWords: "hostPID"},
		"a port of the node":                   {patch: `{"spec":{"containers":[{"name":"CONTAINER","ports":[{"containerPort":1,"hostPort":80}]}]}}`, wantWords: "hostPort"},
		"a privileged container":               {patch: `{"spec":{"containers":[{"name":"CONTAINER","securityContext":{"privileged":true,"allowPrivilegeEscalation":true}}]}}`, wantWords: "privileged"},
		"another container that is privileged": {patch: `{"spec":{"containers":[{"name":"side","image":"any","securityContext":{"privileged":true}}]}}`, wantWords: "side"},
		"an init container that is privileged": {patch: `{"spec":{"initContainers":[{"name":"first","image":"any","securityContext":{"privileged":true}}]}}`, wantWords: "first"},
		"a capability":                         {patch: `{"spec":{"containers":[{"name":"CONTAINER","securityContext":{"capabilities":{"add":["NET_ADMIN"]}}}]}}`, wantWords: "NET_ADMIN"},
		"/proc as it is":                       {patch: `{"spec":{"containers":[{"name":"CONTAINER","securityContext":{"procMount":"Unmasked"}}]}}`, wantWords: "procMount"},
		"a setting of the kernel":              {patch: `{"spec":{"securityContext":{"sysctls":[{"name":"kernel.msgmax","value":"1"}]}}}`, wantWords: "kernel.msgmax"},
		"no seccomp":                           {patch: `{"spec":{"containers":[{"name":"CONTAINER","securityContext":{"seccompProfile":{"type":"Unconfined"}}}]}}`, wantWords: "Unconfined"},
		"root, where restricted is wanted":     {patch: `{"spec":{"containers":[{"name":"CONTAINER","securityContext":{"runAsNonRoot":false}}]}}`, level: build.PodSecurityRestricted, wantWords: "runAsNonRoot"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, part := range []struct {
				container, deployment, other string
				set                          func(*mcpv1alpha1.MCPServerSpec, *apiextensionsv1.JSON)
			}{
				{"server", ofServer, ofSampler, func(s *mcpv1alpha1.MCPServerSpec, p *apiextensionsv1.JSON) { s.PodTemplate = p }},
				{"sampler", ofSampler, ofServer, func(s *mcpv1alpha1.MCPServerSpec, p *apiextensionsv1.JSON) { s.Sampler.PodTemplate = p }},
			} {
				server := serverWith(func(s *mcpv1alpha1.MCPServerSpec) {
					part.set(s, &apiextensionsv1.JSON{Raw: []byte(strings.ReplaceAll(tc.patch, "CONTAINER", part.container))})
				})
				got, objects := built(t, server, build.Options{SamplerImage: "any", PodSecurity: tc.level})
				if got[part.deployment] != nil {
					t.Errorf("%s is made all the same", part.deployment)
				}
				if got[part.other] == nil {
					t.Errorf("%s is held back, and nothing is wrong with it", part.other)
				}
				if len(objects.Refusals) != 1 || objects.Refusals[0].Reason != mcpv1alpha1.ReasonPodSecurity || !strings.Contains(objects.Refusals[0].Message, tc.wantWords) {
					t.Errorf("refusals are %+v, want one that says %q", objects.Refusals, tc.wantWords)
				}
				if got, _ := built(t, server, build.Options{SamplerImage: "any", PodSecurity: build.PodSecurityPrivileged}); got[part.deployment] == nil {
					t.Errorf("%s is refused at the level privileged", part.deployment)
				}
			}
		})
	}
}

func TestWhatIsBuiltFitsTheStrictestLevel(t *testing.T) {
	stdio := func(s *mcpv1alpha1.MCPServerSpec) {
		s.Transport.Type = mcpv1alpha1.TransportStdio
		s.Container.Command = []string{"server"}
	}
	for name, change := range map[string]func(*mcpv1alpha1.MCPServerSpec){
		"over HTTP": func(*mcpv1alpha1.MCPServerSpec) {}, "over stdio": stdio,
	} {
		_, objects := built(t, serverWith(change), build.Options{SamplerImage: "any", PodSecurity: build.PodSecurityRestricted})
		if len(objects.Refusals) != 0 {
			t.Errorf("%s: %+v", name, objects.Refusals)
		}
	}
}

func TestSecurityOfTheServersContainer(t *testing.T) {
	const restricted = `"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]},"seccompProfile":{"type":"RuntimeDefault"}`
	for name, tc := range map[string]struct {
		user *corev1.SecurityContext
		want string
	}{
		"by default": {nil, `{` + restricted + `}`},
		"a field that is added": {
			&corev1.SecurityContext{ReadOnlyRootFilesystem: new(true)},
			`{` + restricted + `,"readOnlyRootFilesystem":true}`,
		},
		"root": {
			&corev1.SecurityContext{RunAsUser: new(int64(0))},
			`{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]},"runAsNonRoot":false,"runAsUser":0,"seccompProfile":{"type":"RuntimeDefault"}}`,
		},
		"a capability beside none": {
			&corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_BIND_SERVICE"}}},
			`{"allowPrivilegeEscalation":false,"capabilities":{"add":["NET_BIND_SERVICE"],"drop":["ALL"]},"seccompProfile":{"type":"RuntimeDefault"}}`,
		},
		"everything": {
			&corev1.SecurityContext{Privileged: new(true), RunAsNonRoot: new(false), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}},
			`{"capabilities":{"drop":["ALL"]},"privileged":true,"runAsNonRoot":false,"seccompProfile":{"type":"Unconfined"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := serverWith(func(s *mcpv1alpha1.MCPServerSpec) { s.Container.SecurityContext = tc.user })
			got, _ := built(t, server, build.Options{SamplerImage: "any", PodSecurity: build.PodSecurityPrivileged})
			var want any
			if err := json.Unmarshal([]byte(tc.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, at(got["Deployment/demo-server"], "spec", "template", "spec", "containers", 0, "securityContext")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whoever asks for root gets it, wherever he asks: runAsNonRoot beside user 0 would
// be a pod that never starts.
func TestRootThatIsAskedFor(t *testing.T) {
	for name, tc := range map[string]struct {
		patch              string
		wantPod, wantOwner any // runAsNonRoot of the pod and of the container
	}{
		"not at all":                 {`{}`, true, nil},
		"of the pod":                 {`{"spec":{"securityContext":{"runAsUser":0}}}`, false, nil},
		"of the pod, in other words": {`{"spec":{"securityContext":{"runAsNonRoot":false}}}`, false, nil},
		"of the container":           {`{"spec":{"containers":[{"name":"server","securityContext":{"runAsUser":0}}]}}`, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			server := serverWith(func(s *mcpv1alpha1.MCPServerSpec) { s.PodTemplate = &apiextensionsv1.JSON{Raw: []byte(tc.patch)} })
			got, _ := built(t, server, build.Options{SamplerImage: "any", PodSecurity: build.PodSecurityBaseline})
			deployment := got["Deployment/demo-server"]
			pod := at(deployment, "spec", "template", "spec", "securityContext").(map[string]any)["runAsNonRoot"]
			container := at(deployment, "spec", "template", "spec", "containers", 0, "securityContext").(map[string]any)["runAsNonRoot"]
			if pod != tc.wantPod || container != tc.wantOwner {
				t.Errorf("runAsNonRoot of the pod is %v, want %v; of the container %v, want %v", pod, tc.wantPod, container, tc.wantOwner)
			}
		})
	}
}

func TestDisruptionBudgetsAreForSeveralPods(t *testing.T) {
	const ofServer, ofSampler = "PodDisruptionBudget/demo-server", "PodDisruptionBudget/demo-sampler"
	for name, tc := range map[string]struct {
		change                  func(*mcpv1alpha1.MCPServerSpec)
		live                    *appsv1.Deployment
		wantServer, wantSampler bool
	}{
		"one of each":                       {func(s *mcpv1alpha1.MCPServerSpec) { s.Replicas = new(int32(1)) }, nil, false, false},
		"two servers":                       {func(s *mcpv1alpha1.MCPServerSpec) { s.Replicas = new(int32(2)) }, nil, true, false},
		"nobody has said how many servers":  {func(*mcpv1alpha1.MCPServerSpec) {}, nil, false, false},
		"somebody wants one server":         {func(*mcpv1alpha1.MCPServerSpec) {}, scaledTo(1), false, false},
		"somebody wants two servers":        {func(*mcpv1alpha1.MCPServerSpec) {}, scaledTo(2), true, false},
		"one server, of which two are left": {func(s *mcpv1alpha1.MCPServerSpec) { s.Replicas = new(int32(1)) }, scaledTo(2), false, false},
		"two samplers": {func(s *mcpv1alpha1.MCPServerSpec) {
			s.Replicas, s.Sampler.Replicas = new(int32(0)), new(int32(2))
		}, nil, false, true},
		"a server of somebody else": {func(s *mcpv1alpha1.MCPServerSpec) {
			s.Container, s.Service = nil, &mcpv1alpha1.ServerService{Name: "theirs", Port: 80}
		}, nil, false, false},
	} {
		got, objects := builtBeside(t, serverWith(tc.change), tc.live, options)
		unwanted := map[string]bool{}
		for _, o := range objects.Unwanted {
			unwanted[strings.TrimPrefix(fmt.Sprintf("%T/%s", o, o.GetName()), "*v1.")] = true
		}
		for object, want := range map[string]bool{ofServer: tc.wantServer, ofSampler: tc.wantSampler} {
			if made := got[object] != nil; made != want || unwanted[object] == want {
				t.Errorf("%s: %s made %v, unwanted %v, want it to be there: %v", name, object, made, unwanted[object], want)
			}
		}
	}
}

func scaledTo(replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: &replicas}}
}

// Scaling replaces no pod.
func TestTheNumberOfPodsChangesNoPodTemplate(t *testing.T) {
	template := func(replicas int32) any {
		got, _ := built(t, serverWith(func(s *mcpv1alpha1.MCPServerSpec) {
			s.Replicas, s.Sampler.Replicas = &replicas, &replicas
		}), options)
		return []any{at(got["Deployment/demo-server"], "spec", "template"), at(got["Deployment/demo-sampler"], "spec", "template")}
	}
	if diff := cmp.Diff(template(1), template(3)); diff != "" {
		t.Error(diff)
	}
}

func TestNetworkPolicies(t *testing.T) {
	const peers = `{"podSelector":{"matchLabels":{"app.kubernetes.io/component":"sampler","app.kubernetes.io/instance":"demo","app.kubernetes.io/name":"mcp-sampler"}}}`
	for name, tc := range map[string]struct {
		access                             mcpv1alpha1.Access
		opts                               *build.NetworkPolicies
		wantCallers, wantAdmin, wantEgress string
		wantScrapes                        string // nobody may, if it is empty
	}{
		"by default": {
			opts:        &build.NetworkPolicies{Operator: &build.Peer{Namespace: "ops", Labels: map[string]string{"app": "manager"}}},
			wantCallers: `[{"podSelector":{}},` + peers + `]`,
			wantAdmin:   `[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"ops"}},"podSelector":{"matchLabels":{"app":"manager"}}}]`,
			wantEgress:  `null`,
		},
		"selected namespaces, and the operator is no pod": {
			access: mcpv1alpha1.Access{From: mcpv1alpha1.AccessFromSelector, NamespaceSelector: &mcpv1alpha1.LabelSelector{
				MatchLabels:      map[string]mcpv1alpha1.LabelValue{"team": "a"},
				MatchExpressions: []mcpv1alpha1.LabelRequirement{{Key: "tier", Operator: "In", Values: []mcpv1alpha1.LabelValue{"x", "y"}}},
			}},
			opts:        &build.NetworkPolicies{},
			wantCallers: `[{"namespaceSelector":{"matchExpressions":[{"key":"tier","operator":"In","values":["x","y"]}],"matchLabels":{"team":"a"}}},` + peers + `]`,
			wantAdmin:   `null`, wantEgress: `null`,
		},
		"two may scrape": {
			opts: &build.NetworkPolicies{MetricsFrom: []networkingv1.NetworkPolicyPeer{
				{
					NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "ops"}},
					PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"app": "prometheus"}},
				},
				{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8"}},
			}},
			wantCallers: `[{"podSelector":{}},` + peers + `]`, wantAdmin: `null`, wantEgress: `null`,
			wantScrapes: `[{"ports":[{"port":9464,"protocol":"TCP"}],"from":[{"namespaceSelector":{"matchLabels":{"team":"ops"}},"podSelector":{"matchLabels":{"app":"prometheus"}}},{"ipBlock":{"cidr":"10.0.0.0/8"}}]}]`,
		},
		"everybody, and nothing out but names": {
			access:      mcpv1alpha1.Access{From: mcpv1alpha1.AccessFromAll, Egress: mcpv1alpha1.EgressRestricted},
			opts:        &build.NetworkPolicies{},
			wantCallers: `null`, wantAdmin: `null`,
			wantEgress: `[{"ports":[{"port":53,"protocol":"UDP"},{"port":53,"protocol":"TCP"}]}]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := serverWith(func(s *mcpv1alpha1.MCPServerSpec) { s.Access = tc.access })
			got, _ := built(t, server, build.Options{SamplerImage: "any", NetworkPolicies: tc.opts})
			sampler, of := got["NetworkPolicy/demo-sampler"], got["NetworkPolicy/demo-server"]
			for what, pair := range map[string][2]any{
				"callers":           {tc.wantCallers, at(sampler, "spec", "ingress", 0, "from")},
				"who may ask":       {tc.wantAdmin, at(sampler, "spec", "ingress", 1, "from")},
				"the server's":      {`[` + peers + `]`, at(of, "spec", "ingress", 0, "from")},
				"who may scrape":    {stdcmp.Or(tc.wantScrapes, "null"), rest(at(sampler, "spec", "ingress"), 2)},
				"what it may reach": {tc.wantEgress, at(of, "spec", "egress")},
			} {
				var want any
				if err := json.Unmarshal([]byte(pair[0].(string)), &want); err != nil { //nolint:forcetypeassert // written above
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, pair[1]); diff != "" {
					t.Errorf("%s:\n%s", what, diff)
				}
			}
		})
	}
	got, objects := built(t, serverWith(func(*mcpv1alpha1.MCPServerSpec) {}), build.Options{SamplerImage: "any"})
	if got["NetworkPolicy/demo-server"] != nil || got["NetworkPolicy/demo-sampler"] != nil || len(objects.Unwanted) < 2 {
		t.Errorf("without network policies there are %v, unwanted %v", got, objects.Unwanted)
	}
}

// rest returns what follows the first n of a list; nil if that is nothing.
func rest(list any, n int) any {
	if l, _ := list.([]any); len(l) > n {
		return l[n:]
	}
	return nil
}

// at walks maps by key and lists by index; nil where there is nothing.
func at(value any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := value.(map[string]any)
			value = m[step]
		case int:
			l, _ := value.([]any)
			if step >= len(l) {
				return nil
			}
			value = l[step]
		}
	}
	return value
}
