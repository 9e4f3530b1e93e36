// Package scaffold writes a first MCPServer and a first SamplingPolicy from a few
// answers.
package scaffold

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// Answers are what users say.
type Answers struct {
	Name      string
	Namespace string
	// One of Image, Service (NAME:PORT) and URL is the server.
	Image, Service, URL string
	Command             []string
	Transport           string
	Port                int32
	Path                string
	// Provider is a type of provider; without one there is no policy.
	Provider string
	Model    string
	BaseURL  string
	// Secret is NAME or NAME:KEY.
	Secret string
}

// defaultKey is the key within a Secret that holds a provider's key.
const defaultKey = "api-key"

// Make returns the objects; policy is nil where no provider is named.
func Make(a Answers) (server *mcpv1alpha1.MCPServer, policy *mcpv1alpha1.SamplingPolicy, err error) {
	if a.Name == "" {
		return nil, nil, errors.New("the server needs a name: write --name")
	}
	if server, err = makeServer(a); err != nil {
		return nil, nil, err
	}
	if a.Provider == "" {
		if a.Model+a.BaseURL+a.Secret != "" {
			return nil, nil, errors.New("--model, --base-url and --secret are of a provider: write --provider too")
		}
		return server, nil, nil
	}
	policy, err = makePolicy(a)
	return server, policy, err
}

func makeServer(a Answers) (*mcpv1alpha1.MCPServer, error) {
	server := &mcpv1alpha1.MCPServer{
		TypeMeta:   metav1.TypeMeta{APIVersion: mcpv1alpha1.GroupVersion.String(), Kind: mcpv1alpha1.KindMCPServer},
		ObjectMeta: metav1.ObjectMeta{Name: a.Name, Namespace: a.Namespace},
	}
	server.Spec.Transport.Type = mcpv1alpha1.TransportType(a.Transport)
	if a.Path != "" {
		server.Spec.Transport.Path = &a.Path
	}
	sources := 0
	if a.Image != "" {
		sources++
		server.Spec.Container = &mcpv1alpha1.ServerContainer{Image: a.Image, Command: a.Command}
		if a.Port != 0 {
			server.Spec.Transport.Port = &a.Port
		}
	}
	if a.Service != "" {
		sources++
		name, text, _ := strings.Cut(a.Service, ":")
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("--service is %q: write NAME:PORT, the Service and its port", a.Service)
		}
		server.Spec.Service = &mcpv1alpha1.ServerService{Name: name, Port: int32(port)}
	}
	if a.URL != "" {
		sources++
		server.Spec.Remote = &mcpv1alpha1.RemoteServer{URL: a.URL}
	}
	switch {
	case sources != 1:
		return nil, errors.New("say where the server is, in one way: --image runs it, --service is one that runs in this namespace, --url one elsewhere")
	case a.Image == "" && (a.Port != 0 || len(a.Command) > 0):
		return nil, errors.New("--port and a command are for --image: write the port of a Service as --service NAME:PORT")
	default:
		return server, nil
	}
}

func makePolicy(a Answers) (*mcpv1alpha1.SamplingPolicy, error) {
	if a.Model == "" && a.Provider != string(mcpv1alpha1.ProviderWebhook) {
		return nil, errors.New("the policy needs a model: write --model, its name at the provider")
	}
	if a.Provider == string(mcpv1alpha1.ProviderWebhook) && a.BaseURL == "" {
		return nil, errors.New("a handler of your own needs an address: write --base-url")
	}
	provider := mcpv1alpha1.Provider{
		Name: strings.ToLower(a.Provider), Type: mcpv1alpha1.ProviderType(a.Provider), BaseURL: a.BaseURL,
	}
	if a.Secret != "" {
		name, key, found := strings.Cut(a.Secret, ":")
		if !found {
			key = defaultKey
		}
		provider.Credential = &mcpv1alpha1.Credential{SecretKeyRef: mcpv1alpha1.SecretKeyRef{Name: name, Key: key}}
	}
	if a.BaseURL != "" {
		if at, err := url.Parse(a.BaseURL); err != nil || at.Host == "" {
			return nil, fmt.Errorf("--base-url is %q: write an address such as https://models.example.com/v1", a.BaseURL)
		}
	}
	model := a.Model
	if model == "" {
		model = "handler"
	}
	return &mcpv1alpha1.SamplingPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: mcpv1alpha1.GroupVersion.String(), Kind: "SamplingPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: a.Name, Namespace: a.Namespace},
		Spec: mcpv1alpha1.SamplingPolicySpec{
			TargetRefs: []mcpv1alpha1.TargetRef{{Name: a.Name}},
			Providers:  []mcpv1alpha1.Provider{provider},
			Models: mcpv1alpha1.Models{
				Default: model,
				Allowed: []mcpv1alpha1.Model{{Name: model, Provider: provider.Name}},
			},
		},
	}, nil
}

// YAML returns the objects as a manifest, without what is empty.
func YAML(objects ...any) ([]byte, error) {
	var parts []string
	for _, object := range objects {
		data, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		var fields map[string]any
		if err := json.Unmarshal(data, &fields); err != nil {
			return nil, err
		}
		delete(fields, "status")
		prune(fields)
		text, err := yaml.Marshal(fields)
		if err != nil {
			return nil, err
		}
		parts = append(parts, string(text))
	}
	return []byte(strings.Join(parts, "---\n")), nil
}

// prune drops empty objects, which say nothing.
func prune(fields map[string]any) {
	for name, v := range fields {
		if inner, is := v.(map[string]any); is {
			prune(inner)
			if len(inner) == 0 {
				delete(fields, name)
			}
		}
		if v == nil {
			delete(fields, name)
		}
	}
}
