package tenants

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// reference is a field of our kinds that names an object, or holds whatever a pod
// can name.
type reference struct {
	// spec writes the field, with NAME for the name.
	spec string
	// resource is what NAME is one of.
	resource string
	// unchecked says why a tenant may name anything here.
	unchecked string
}

const certificates = "a sampler reads it as certificates and sends it nowhere"

// references are all of them, by kind and path. A field that the types have and
// this lacks fails a test: decide about it here, and in config/admission.
var references = map[string]reference{
	"MCPServer container.env[].valueFrom.secretKeyRef": {
		spec: "container: {image: x, env: [{name: A, valueFrom: {secretKeyRef: {name: NAME, key: k}}}]}", resource: "secrets",
	},
	"MCPServer container.env[].valueFrom.configMapKeyRef": {
		spec: "container: {image: x, env: [{name: A, valueFrom: {configMapKeyRef: {name: NAME, key: k}}}]}", resource: "configmaps",
	},
	"MCPServer container.envFrom[].secretRef": {
		spec: "container: {image: x, envFrom: [{secretRef: {name: NAME}}]}", resource: "secrets",
	},
	"MCPServer container.envFrom[].configMapRef": {
		spec: "container: {image: x, envFrom: [{configMapRef: {name: NAME}}]}", resource: "configmaps",
	},
	"MCPServer remote.headers[].valueFrom.secretKeyRef": {
		spec: "remote: {url: https://example.com, headers: [{name: X, value: v}, {name: Z, valueFrom: {secretKeyRef: {name: NAME, key: k}}}]}", resource: "secrets",
	},
	"MCPServer remote.caBundleRef": {
		spec: "remote: {url: https://example.com, caBundleRef: {name: NAME}}", resource: "configmaps", unchecked: certificates,
	},
	"SamplingPolicy providers[].credential.secretKeyRef": {
		spec: "providers: [{name: p, type: OpenAI}, {name: q, type: OpenAI, credential: {secretKeyRef: {name: NAME, key: k}}}]", resource: "secrets",
	},
	"SamplingPolicy providers[].headers[].valueFrom.secretKeyRef": {
		spec:     "providers: [{name: p, type: OpenAI}, {name: q, type: OpenAI, headers: [{name: X, value: v}, {name: Z, valueFrom: {secretKeyRef: {name: NAME, key: k}}}]}]",
		resource: "secrets",
	},
	"SamplingPolicy providers[].caBundleRef": {
		spec: "providers: [{name: p, type: OpenAI, caBundleRef: {name: NAME}}]", resource: "configmaps", unchecked: certificates,
	},
	"SamplingPolicy limits.store.credential.secretKeyRef": {
		spec: "limits: {concurrent: 1, store: {address: 'redis:6379', credential: {secretKeyRef: {name: NAME, key: k}}}}", resource: "secrets",
	},
	"SamplingPolicy limits.store.caBundleRef": {
		spec: "limits: {concurrent: 1, store: {address: 'redis:6379', tls: true, caBundleRef: {name: NAME}}}", resource: "configmaps", unchecked: certificates,
	},
}

// harmless are references that name nothing outside of the pod or the namespace's
// own kinds; the reason is what makes them so.
var harmless = map[string]string{
	"MCPServer container.env[].valueFrom.fieldRef":         "a field of the pod itself",
	"MCPServer container.env[].valueFrom.resourceFieldRef": "a field of the pod itself",
	"MCPServer container.env[].valueFrom.fileKeyRef":       "a file of a volume, and only podTemplate adds volumes",
	"MCPServer service":           "a Service that every pod of the namespace can connect to as well",
	"SamplingPolicy targetRefs[]": "our own kind, in the same namespace",
}

// object returns an object that refers to name.
func (r reference) object(t *testing.T, field, name string) *unstructured.Unstructured {
	t.Helper()
	kind, _, _ := strings.Cut(field, " ")
	spec := strings.ReplaceAll(r.spec, "NAME", name)
	if kind == mcpv1alpha1.KindMCPServer {
		return mcpServer(t, spec)
	}
	return samplingPolicy(t, spec)
}

func TestEveryReferenceIsDecidedAbout(t *testing.T) {
	found := map[string]bool{}
	walk(reflect.TypeFor[mcpv1alpha1.MCPServerSpec](), mcpv1alpha1.KindMCPServer+" ", found)
	walk(reflect.TypeFor[mcpv1alpha1.SamplingPolicySpec](), mcpv1alpha1.KindSamplingPolicy+" ", found)
	delete(found, "MCPServer podTemplate") // TestPodTemplatesAreForThoseWhoMayCreatePods
	delete(found, "MCPServer sampler.podTemplate")
	// Parts of requests to models, and no objects of Kubernetes.
	delete(found, "SamplingPolicy models.allowed[].extraBody")
	delete(found, "SamplingPolicy parameters.extraBody")

	decided := slices.Concat(slices.Collect(maps.Keys(references)), slices.Collect(maps.Keys(harmless)))
	slices.Sort(decided)
	if diff := cmp.Diff(decided, slices.Sorted(maps.Keys(found))); diff != "" {
		t.Errorf("references (-decided about +in the types):\n%s", diff)
	}
}

// openTypes are those that can hold anything.
var openTypes = []reflect.Type{reflect.TypeFor[apiextensionsv1.JSON]()}

// walk finds the fields that name an object: structures with a name and no value
// beside it, and everything that Kubernetes calls a source of one.
func walk(of reflect.Type, path string, found map[string]bool) {
	switch of.Kind() {
	case reflect.Pointer:
		walk(of.Elem(), path, found)
	case reflect.Slice:
		walk(of.Elem(), path+"[]", found)
	case reflect.Map:
		walk(of.Elem(), path+"{}", found)
	case reflect.Struct:
		if slices.Contains(openTypes, of) || names(of) {
			found[path] = true
			return
		}
		for field := range of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			switch {
			case !field.IsExported():
			case name == "": // inlined
				walk(field.Type, path, found)
			case strings.HasSuffix(path, " "):
				walk(field.Type, path+name, found)
			default:
				walk(field.Type, path+"."+name, found)
			}
		}
	}
}

// names reports whether a type is a reference. Unknown types of others whose
// names sound like one are.
func names(of reflect.Type) bool {
	switch of {
	case reflect.TypeFor[corev1.EnvVarSource](), reflect.TypeFor[mcpv1alpha1.HeaderSource](), reflect.TypeFor[corev1.EnvFromSource]():
		return false // each of their fields is looked at
	case reflect.TypeFor[mcpv1alpha1.ServerService]():
		return true
	}
	name := of.Name()
	return slices.ContainsFunc([]string{"Ref", "Reference", "KeySelector", "FieldSelector", "Source"}, func(suffix string) bool {
		return strings.HasSuffix(name, suffix)
	})
}

func TestReferencesAreForThoseWhoMayUseWhatTheyName(t *testing.T) {
	guarded(t)
	clients := map[string]client.Client{}
	for _, user := range []string{tenant, granted, reader, developer, admin} {
		clients[user] = as(t, user)
	}
	for field, reference := range references {
		for _, tt := range []struct {
			who, user, name string
			want            bool // accepted
		}{
			{"a tenant", tenant, "allowed", false},
			{"who may use this one", granted, "allowed", true},
			{"who may use another one", granted, "other", false},
			{"who may use one of the same beginning", granted, "allowed.not", false},
			{"who may read this one", reader, "allowed", true},
			{"who may read another one", reader, "other", false},
			{"who wants the session key of a server", granted, "any-sampler", false},
			{"who may create pods", developer, "other", true},
			{"the administrator", admin, "other", true},
		} {
			t.Run(fmt.Sprintf("%s by %s", field, tt.who), func(t *testing.T) {
				err := clients[tt.user].Create(t.Context(), reference.object(t, field, tt.name), client.DryRunAll)
				switch want := tt.want || reference.unchecked != ""; {
				case want && err != nil:
					t.Errorf("refused: %v", err)
				case !want:
					checkRefusal(t, err, "this refers to "+reference.resource+"/"+tt.name+", which you have no right to use: ask for a Role in namespace "+team)
				}
			})
		}
	}
}

// checkRefusal holds a refusal to what its reader needs.
func checkRefusal(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Error("accepted, want a refusal")
		return
	}
	if !apierrors.IsForbidden(err) {
		t.Errorf("want what kubectl prints as Forbidden, got: %v", err)
	}
	for _, want := range append(want, `"A tenant's rights"`, "docs/security.md") {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("message is\n%v\nwant in it\n%s", err, want)
		}
	}
}
