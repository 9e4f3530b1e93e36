// Package google calls models through Google's Gemini API (generateContent, with
// an API key; not Vertex AI) and everything that is compatible with it. It
// translates and does nothing else.
//
// How what the API says differently is said all the same:
//   - The response of a function is an object: the text of a tool's result is its
//     "output", structured content is the object itself, and a failed tool has an
//     "error" in place of an output.
//   - Models from Gemini 3 on take pictures and documents inside of a function's
//     response. What others bring, and audio for all, follows in a message of the
//     user.
//   - Models from Gemini 3 on want to see the signature of their thoughts again
//     with their function calls. The protocol has no place for it, so it is kept
//     here (see thoughts). Where it is not known, or the call was another model's,
//     Google's documented placeholder stands in.
//   - A conversation opens with the user: one of the assistant's gets a blank
//     before it.
//   - Which stop sequence ended an answer, or whether one did, it does not tell:
//     that is endTurn here.
//   - All JSON numbers are doubles there.
package google

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"

	"google.golang.org/genai"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

const (
	// DefaultBaseURL is Google's own.
	DefaultBaseURL = "https://" + vendorHost
	vendorHost     = "generativelanguage.googleapis.com"
	// defaultVersion is the API's version where the base URL names none.
	defaultVersion = "v1beta"
)

// apiVersion is what the last part of a base URL looks like that names one.
var apiVersion = regexp.MustCompile(`^v[0-9]+((alpha|beta)[0-9]*)?$`)

// Client is a provider.Provider.
type Client struct {
	options   provider.Options
	models    *genai.Models
	modelsURL string
	// strict is set for Google's own host, whose limits are known.
	strict   bool
	thoughts *thoughts
}

var _ provider.Provider = (*Client)(nil)

// New makes a client. It sends nothing.
func New(options provider.Options) (*Client, error) {
	if options.BaseURL == "" {
		options.BaseURL = DefaultBaseURL
	}
	base, err := url.Parse(options.BaseURL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, errors.New("make a Gemini client: baseURL must be an http or https URL")
	}
	if options.HTTP == nil {
		return nil, errors.New("make a Gemini client: an HTTP client is missing")
	}
	version := defaultVersion
	base.Path = strings.TrimRight(base.Path, "/")
	if last := path.Base(base.Path); apiVersion.MatchString(last) {
		version, base.Path = last, path.Dir(base.Path)
	}
	base.RawPath = ""
	client := *options.HTTP
	client.Transport = &transport{next: client.Transport}
	options.HTTP = &client
	// Whatever is left out here the SDK takes from GOOGLE_* and GEMINI_* variables
	// of the process: a sampler must never send a key that its configuration does
	// not name. The transport puts the real key in place of this one.
	sdk, err := genai.NewClient(context.Background(), &genai.ClientConfig{
		Backend:     genai.BackendGeminiAPI,
		APIKey:      "-",
		HTTPClient:  &client,
		HTTPOptions: genai.HTTPOptions{BaseURL: base.String(), APIVersion: version},
	})
	if err != nil {
		// Its text holds the whole configuration.
		return nil, errors.New("make a Gemini client: the SDK refuses its configuration")
	}
	return &Client{
		options:   options,
		models:    sdk.Models,
		modelsURL: base.JoinPath(version, "models").String() + "?pageSize=1",
		strict:    strings.EqualFold(base.Hostname(), vendorHost),
		thoughts:  newThoughts(),
	}, nil
}

// CreateMessage asks for one completion, once.
func (c *Client) CreateMessage(ctx context.Context, req provider.Request) (*provider.Response, error) {
	t, err := newTranslation(req, c.thoughts, c.strict)
	if err != nil {
		return nil, err
	}
	key, err := c.options.CurrentKey()
	if err != nil {
		return nil, err
	}
	ctx, ex := withExchange(ctx, key)
	answer, err := c.generate(ctx, ex, t)
	if err != nil {
		return nil, failure(ctx, ex.response, err)
	}
	return t.response(answer)
}

// errShape stands for a panic of the SDK.
var errShape = errors.New("the answer is not of the API's shape")

// generate asks the SDK. It panics on answers that are JSON of another shape
// than it expects ("null", a candidate that is a text), which are the provider's
// fault and no reason to end the sampler.
func (c *Client) generate(ctx context.Context, ex *exchange, t *translation) (answer *genai.GenerateContentResponse, err error) {
	defer func() {
		if ex.response == nil {
			return
		}
		if recover() != nil {
			answer, err = nil, errShape
		}
	}()
	return c.models.GenerateContent(ctx, t.model, t.contents, t.config)
}

// Probe asks for the list of models.
func (c *Client) Probe(ctx context.Context) error {
	key, err := c.options.CurrentKey()
	if err != nil {
		return err
	}
	ctx, _ = withExchange(ctx, key)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.modelsURL, http.NoBody)
	if err != nil {
		return &provider.Error{Kind: provider.KindRejected, Detail: "the base URL cannot be used", Cause: err}
	}
	return c.options.AskForModels(req, func(resp *http.Response) *provider.Error { return refusal(resp, readRefusal(resp.Body)) })
}
