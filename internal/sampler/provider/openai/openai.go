// Package openai calls models through the chat completions API: OpenAI's own,
// Azure's, and everything that is compatible with them. It translates and does
// nothing else.
//
// How what the API cannot say is said all the same:
//   - The tool role carries only text. Images and audio of a tool result follow
//     in a user message after all tool messages, so that nothing is lost.
//   - It has no flag for a failed tool, so such a result begins with "Error: ".
//   - Which stop sequence ended an answer, or whether one did, it does not tell:
//     that is endTurn here.
//
// What OpenAI refuses is not sent to OpenAI: it is mended where that loses
// nothing, and an UnsupportedError otherwise. Compatible servers take more, and
// what they refuse they say themselves. See rules.
//
// The official client sends the requests and reads the errors. Bodies are
// written and read by the small structs of api.go, because the client's own
// take longer than all the rest of a request.
//
// The official client reads OPENAI_* variables of the process on its own unless
// it is made without its constructor, as here: a sampler must never send a key
// that its configuration does not name.
package openai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	openai "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// DefaultBaseURL is OpenAI's own.
const DefaultBaseURL = "https://api.openai.com/v1"

// Options configure one provider.
type Options struct {
	provider.Options
	// OpenAI is what only this family knows.
	config.OpenAI
}

// Client is a provider.Provider.
type Client struct {
	options Options
	rules   rules
	client  openai.Client
	// modelsURL is where the list of models is found.
	modelsURL string
}

var _ provider.Provider = (*Client)(nil)

// New makes a client. It sends nothing.
func New(options Options) (*Client, error) {
	if options.HTTP == nil {
		return nil, errors.New("make an OpenAI client: there is no HTTP client")
	}
	if options.BaseURL == "" {
		if options.Azure != nil {
			return nil, errors.New("make an OpenAI client: with azure, baseURL must be the endpoint of the resource")
		}
		options.BaseURL = DefaultBaseURL
	}
	base, err := url.Parse(options.BaseURL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, errors.New("make an OpenAI client: baseURL must be an http or https URL")
	}
	switch options.MaxTokensField {
	case "":
		options.MaxTokensField = config.MaxCompletionTokens
	case config.MaxCompletionTokens, config.MaxTokens:
	default:
		return nil, fmt.Errorf("make an OpenAI client: unknown maxTokensField %q", options.MaxTokensField)
	}
	if options.Azure != nil && options.Azure.APIVersion == "" {
		return nil, errors.New("make an OpenAI client: azure.apiVersion is missing")
	}
	c := &Client{options: options, rules: rulesOf(base.Hostname(), options.OpenAI)}
	c.connect(base)
	return c, nil
}

// connect sets up the official client for what the API has below base.
func (c *Client) connect(base *url.URL) {
	opts := []option.RequestOption{
		option.WithHTTPClient(c.options.HTTP),
		option.WithMaxRetries(0),
		option.WithMiddleware(withoutPlatform),
	}
	var query url.Values
	if azure := c.options.Azure; azure != nil {
		base.Path = strings.TrimSuffix(strings.TrimSuffix(base.Path, "/"), "/openai")
		base = base.JoinPath("openai")
		query = url.Values{"api-version": {azure.APIVersion}}
		opts = append(opts, option.WithQuery("api-version", azure.APIVersion))
	} else {
		// Azure knows neither.
		if c.options.Organization != "" {
			opts = append(opts, option.WithOrganization(c.options.Organization))
		}
		if c.options.Project != "" {
			opts = append(opts, option.WithProject(c.options.Project))
		}
	}
	opts = append(opts, option.WithBaseURL(base.String()))
	c.client.Options = opts
	models := base.JoinPath("models")
	models.RawQuery = query.Encode()
	c.modelsURL = models.String()
}

// CreateMessage asks for one completion, once.
func (c *Client) CreateMessage(ctx context.Context, req provider.Request) (*provider.Response, error) {
	question, err := translate(&req, &c.rules)
	if err != nil {
		return nil, err
	}
	var (
		answer       []byte
		httpResponse *http.Response
	)
	opts := []option.RequestOption{option.WithResponseInto(&httpResponse)}
	key, err := c.options.CurrentKey()
	if err != nil {
		return nil, err
	}
	path := "chat/completions"
	if c.options.Azure != nil {
		path = "deployments/" + url.PathEscape(req.Model) + "/" + path
	}
	switch {
	case key == "":
	case c.options.Azure != nil:
		opts = append(opts, option.WithHeader("Api-Key", key))
	default:
		opts = append(opts, option.WithAPIKey(key))
	}
	if err := c.client.Post(ctx, path, question.body, &answer, opts...); err != nil {
		return nil, failure(ctx, httpResponse, err)
	}
	if httpResponse.StatusCode >= http.StatusMultipleChoices {
		return nil, provider.FromResponse(httpResponse, nil)
	}
	response, err := newResponse(answer, req.Model, question.names)
	if err != nil {
		return nil, err
	}
	response.Lost = question.lost
	return response, nil
}

// Probe asks for the list of models.
func (c *Client) Probe(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.modelsURL, nil)
	if err != nil {
		return &provider.Error{Kind: provider.KindRejected, Detail: "the base URL cannot be used", Cause: err}
	}
	key, err := c.options.CurrentKey()
	if err != nil {
		return err
	}
	switch {
	case c.options.Azure != nil && key != "":
		req.Header.Set("Api-Key", key)
	case key != "":
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if c.options.Azure == nil {
		setHeader(req.Header, "OpenAI-Organization", c.options.Organization)
		setHeader(req.Header, "OpenAI-Project", c.options.Project)
	}
	return c.options.AskForModels(req, func(resp *http.Response) *provider.Error { return provider.FromResponse(resp, nil) })
}

// platformHeaders tell what the sampler runs on, and how the client is set up. A
// provider need not know.
var platformHeaders = []string{
	"X-Stainless-Lang", "X-Stainless-Package-Version", "X-Stainless-Os", "X-Stainless-Arch",
	"X-Stainless-Runtime", "X-Stainless-Runtime-Version", "X-Stainless-Retry-Count",
}

func withoutPlatform(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
	for _, name := range platformHeaders {
		delete(req.Header, name)
	}
	return next(req)
}

func setHeader(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

// failure classifies an error of the client. The status is taken from the
// response, because the client forgets it where the body is not what OpenAI
// would send (a proxy's HTML page).
func failure(ctx context.Context, resp *http.Response, err error) *provider.Error {
	if resp == nil || ctx.Err() != nil {
		return provider.FromTransport(ctx, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return provider.FromResponse(resp, errorCodes(err))
	}
	// Only reading the body can have failed.
	return provider.FromTransport(ctx, err)
}

// shortCode is what OpenAI's types and codes of errors look like. Whatever else
// stands there may be a quotation, even of the key.
var shortCode = regexp.MustCompile(`^[a-z][a-z_]{0,63}$`)

// errorCodes keeps of the provider's words what cannot be a secret.
func errorCodes(err error) error {
	var apiErr *openai.Error
	if !errors.As(err, &apiErr) {
		return nil
	}
	var codes []string
	for _, code := range []string{apiErr.Type, apiErr.Code} {
		if shortCode.MatchString(code) {
			codes = append(codes, code)
		}
	}
	if codes == nil {
		return nil
	}
	return errors.New(strings.Join(codes, ", "))
}
