package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ProviderType is the family of API that a provider speaks.
//
// +kubebuilder:validation:Enum=OpenAI;Anthropic;GoogleGenAI;Webhook
type ProviderType string

const (
	// ProviderOpenAI is OpenAI's chat completions API, and everything that is
	// compatible with it.
	ProviderOpenAI ProviderType = "OpenAI"
	// ProviderAnthropic is Anthropic's Messages API.
	ProviderAnthropic ProviderType = "Anthropic"
	// ProviderGoogleGenAI is Google's Gemini API.
	ProviderGoogleGenAI ProviderType = "GoogleGenAI"
	// ProviderWebhook is a handler of the user's own.
	ProviderWebhook ProviderType = "Webhook"
)

// Provider is somebody who runs models.
//
// +kubebuilder:validation:XValidation:rule="!has(self.openAI) || self.type == 'OpenAI'",message="openAI is only for providers of type OpenAI: set type to OpenAI, or remove openAI"
// +kubebuilder:validation:XValidation:rule="self.type != 'Webhook' || has(self.baseURL)",message="type Webhook needs baseURL: write the whole address of your handler, such as https://handler.example.com/sampling"
// +kubebuilder:validation:XValidation:rule="!has(self.openAI) || !has(self.openAI.azure) || has(self.baseURL)",message="openAI.azure needs baseURL: write the endpoint of your resource, such as https://name.openai.azure.com"
// +kubebuilder:validation:XValidation:rule="!has(self.caBundleRef) || !has(self.baseURL) || self.baseURL.startsWith('https:')",message="caBundleRef is for a provider with TLS: begin baseURL with https://, or remove caBundleRef"
// +kubebuilder:validation:XValidation:rule="!has(self.credential) || !has(self.headers) || !self.headers.exists(h, h.name.lowerAscii() == (self.type == 'Anthropic' ? 'x-api-key' : self.type == 'GoogleGenAI' ? 'x-goog-api-key' : self.type == 'OpenAI' ? (has(self.openAI) && has(self.openAI.azure) ? 'api-key' : 'authorization') : 'none'))",message="this header carries the credential: remove it from headers, or remove credential"
// +kubebuilder:validation:XValidation:rule="self.type != 'Webhook' || !has(self.headers) || !self.headers.exists(h, h.name.lowerAscii().startsWith('webhook-'))",message="headers that begin with webhook- are set for each request: remove them"
type Provider struct {
	// name is what models call this provider by. At most 63 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// type is the family of API. OpenAI also serves everything compatible with
	// it, such as Ollama, vLLM, llama.cpp and LiteLLM. Webhook is a handler of
	// your own, which is sent each request and answers it.
	// +required
	Type ProviderType `json:"type"`

	// baseURL is where the API's own paths begin (for OpenAI "https://host/v1",
	// without "/chat/completions"). Omitted means the vendor's own. For type
	// Webhook it is the whole address of the handler, and needed. http or https,
	// without credentials, query or fragment. At most 1024 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",message="baseURL must be an absolute URL that begins with http:// or https://, such as https://api.example.com/v1"
	// +kubebuilder:validation:XValidation:rule="!isURL(self) || url(self).getPort() == '' || (url(self).getPort().size() <= 5 && int(url(self).getPort()) >= 1 && int(url(self).getPort()) <= 65535)",message="baseURL must have a port from 1 to 65535, or none"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@') && !self.contains('?') && !self.contains('#')",message="baseURL must not hold credentials, a query or a fragment: put the key into a Secret and name it in credential.secretKeyRef"
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('/chat/completions') && !self.endsWith('/chat/completions/')",message="baseURL must end before /chat/completions, which is added to it for each request: remove that part"
	BaseURL string `json:"baseURL,omitempty"`

	// credential is where the API key is found. Omitted sends none. For type
	// Webhook it is the key that requests are signed with.
	// +optional
	Credential *Credential `json:"credential,omitempty"`

	// headers are put into each request to the provider. At most 16 items.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(h, self.exists_one(o, o.name.lowerAscii() == h.name.lowerAscii()))",message="write each header once: names differ by more than upper and lower case"
	Headers []Header `json:"headers,omitempty"`

	// caBundleRef names the certificates that the provider is verified with, in
	// place of the system's. Omitted uses the system's.
	// +optional
	CABundleRef *ConfigMapKeyRef `json:"caBundleRef,omitempty"`

	// timeout bounds one sampling request at this provider, retries included,
	// 1s to 1h. Omitted means 60s.
	// +optional
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="timeout must be a duration such as 30s or 1m30s, from 1s to 1h"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// retries is how many more times a request is tried after the provider was
	// busy, failed or was out of reach, 0 to 10. Omitted means 2.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	Retries *int32 `json:"retries,omitempty"`

	// openAI holds what only the OpenAI family knows.
	// +optional
	OpenAI *OpenAI `json:"openAI,omitempty"`
}

// Credential says where a key is found.
type Credential struct {
	// secretKeyRef is a key of a Secret in this namespace. The operator mounts
	// it into the sampler's pods and never reads it.
	// +required
	SecretKeyRef SecretKeyRef `json:"secretKeyRef"`
}

// SecretKeyRef names a key of a Secret in the same namespace.
type SecretKeyRef struct {
	// name is the name of the Secret. At most 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`

	// key is the key inside the Secret. At most 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	// +kubebuilder:validation:XValidation:rule="self != '.' && !self.startsWith('..')",message="key must not be '.' or begin with '..'"
	Key string `json:"key"`
}

// MaxTokensField is the name that a server gives the limit on tokens.
//
// +kubebuilder:validation:Enum=max_completion_tokens;max_tokens
type MaxTokensField string

const (
	// MaxTokensFieldMaxCompletionTokens is OpenAI's own name.
	MaxTokensFieldMaxCompletionTokens MaxTokensField = "max_completion_tokens"
	// MaxTokensFieldMaxTokens is the older name, the only one that some
	// compatible servers know.
	MaxTokensFieldMaxTokens MaxTokensField = "max_tokens"
)

// OpenAI holds what only the OpenAI family knows.
//
// +kubebuilder:validation:XValidation:rule="!has(self.azure) || (!has(self.organization) && !has(self.project))",message="Azure has neither organization nor project: remove them, or remove openAI.azure"
type OpenAI struct {
	// maxTokensField is the name of the field for the limit on tokens. Use
	// max_tokens for compatible servers that do not know the newer name. Omitted
	// means max_completion_tokens.
	// +optional
	// +kubebuilder:default=max_completion_tokens
	MaxTokensField MaxTokensField `json:"maxTokensField,omitempty"`

	// organization is the one that requests count for, in accounts with several.
	// Omitted sends none. At most 253 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[!-~]+$`
	Organization string `json:"organization,omitempty"`

	// project is the one that requests count for. Omitted sends none. At most 253
	// characters.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[!-~]+$`
	Project string `json:"project,omitempty"`

	// azure is for Azure OpenAI: baseURL is the endpoint of the resource, and
	// models are names of deployments. Omitted for all others, and for Azure's own
	// address that ends with /openai/v1.
	// +optional
	Azure *Azure `json:"azure,omitempty"`
}

// Azure holds what only Azure OpenAI knows.
type Azure struct {
	// apiVersion is the query parameter api-version of each request, such as
	// 2024-10-21. At most 64 characters.
	// +required
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][-._A-Za-z0-9]*$`
	APIVersion string `json:"apiVersion"`
}
