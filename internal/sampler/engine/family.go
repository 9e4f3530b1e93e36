package engine

import (
	"fmt"
	"net/http"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/anthropic"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/google"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/openai"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/outbound"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/webhook"
)

// client is an adapter and the connections that it uses.
type client struct {
	provider.Provider
	http *http.Client
}

// CloseIdleConnections ends what no request uses.
func (c client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// newClient makes the adapter for a provider's family.
func newClient(c config.Provider, key func() (string, error)) (provider.Provider, error) {
	options := provider.Options{
		BaseURL: c.BaseURL, Key: key,
		HTTP: outbound.New(outbound.Options{Headers: c.Headers, CAFile: c.CAFile}),
	}
	adapter, err := newAdapter(c, options)
	if err != nil {
		return nil, err
	}
	return client{adapter, options.HTTP}, nil
}

func newAdapter(c config.Provider, options provider.Options) (provider.Provider, error) {
	switch c.Type {
	case config.ProviderOpenAI:
		o := openai.Options{Options: options}
		if c.OpenAI != nil {
			o.OpenAI = *c.OpenAI
		}
		return openai.New(o)
	case config.ProviderAnthropic:
		return anthropic.New(options)
	case config.ProviderGoogleGenAI:
		return google.New(options)
	case config.ProviderWebhook:
		return webhook.New(options)
	default:
		return nil, fmt.Errorf("unknown type %q", c.Type)
	}
}
