package config

// ProviderType is the family of API that a provider speaks.
type ProviderType string

const (
	// ProviderOpenAI is the chat completions API of OpenAI and of everything that
	// is compatible with it.
	ProviderOpenAI ProviderType = "OpenAI"
	// ProviderAnthropic is Anthropic's Messages API.
	ProviderAnthropic ProviderType = "Anthropic"
	// ProviderGoogleGenAI is Google's Gemini API.
	ProviderGoogleGenAI ProviderType = "GoogleGenAI"
	// ProviderWebhook is a handler of the user's own.
	ProviderWebhook ProviderType = "Webhook"
)

// Provider is somebody who runs models.
type Provider struct {
	Name string       `json:"name"`
	Type ProviderType `json:"type"`
	// BaseURL ends before the API's own paths (".../v1"). Empty means the
	// vendor's own. For a Webhook it is the whole address, and required.
	BaseURL string `json:"baseURL,omitempty"`
	// Credential is where the key is found. Without one none is sent. For a
	// Webhook it is the key that requests are signed with.
	Credential *Credential `json:"credential,omitempty"`
	// Headers are put into each request, over those of the same name.
	Headers []Header `json:"headers,omitempty"`
	// CAFile holds the certificates (PEM) that the provider is verified with, in
	// place of the system's. It is read again when it changes.
	CAFile string `json:"caFile,omitempty"`
	// Timeout bounds one sampling request at this provider, retries included.
	Timeout Duration `json:"timeout"`
	// Retries is how many more times a retryable failure is tried.
	Retries int     `json:"retries"`
	OpenAI  *OpenAI `json:"openAI,omitempty"`
}

// Credential says where a key is found. Exactly one of File and Env is set.
type Credential struct {
	// File holds the key and nothing else; white space around it is dropped. It
	// is read again when it changes.
	File string `json:"file,omitempty"`
	// Env is the name of an environment variable, for samplers that run outside
	// Kubernetes.
	Env string `json:"env,omitempty"`
	// Ref is what users call it ("Secret openai, key api-key"), for messages.
	Ref string `json:"ref,omitempty"`
}

// MaxTokensField is the name that a server gives the limit on tokens.
type MaxTokensField string

const (
	// MaxCompletionTokens is OpenAI's own name.
	MaxCompletionTokens MaxTokensField = "max_completion_tokens"
	// MaxTokens is the older name, the only one that some compatible servers
	// know.
	MaxTokens MaxTokensField = "max_tokens"
)

// OpenAI holds what only the OpenAI family knows.
type OpenAI struct {
	MaxTokensField MaxTokensField `json:"maxTokensField"`
	// Organization and Project are for accounts with several of them.
	Organization string `json:"organization,omitempty"`
	Project      string `json:"project,omitempty"`
	// Azure is for Azure OpenAI: BaseURL is the resource's endpoint, and models
	// are deployments.
	Azure *Azure `json:"azure,omitempty"`
}

// Azure holds what only Azure OpenAI knows.
type Azure struct {
	// APIVersion is the query parameter api-version of each request.
	APIVersion string `json:"apiVersion"`
}
