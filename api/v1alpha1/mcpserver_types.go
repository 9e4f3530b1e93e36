package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// MCPServer is an MCP server with a sampler in front of it. Callers reach it at
// `status.url`; the sampling requests that it makes are answered as the
// SamplingPolicy that targets it says, whether callers can sample or not.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:shortName=mcps,categories=mcp
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Policy",type=string,JSONPath=`.status.samplingPolicy.name`
// +kubebuilder:printcolumn:name="Tools",type=integer,JSONPath=`.status.server.tools`
// +kubebuilder:printcolumn:name="URL",type=string,priority=1,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Protocol",type=string,priority=1,JSONPath=`.status.server.protocolVersion`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 56",message="metadata.name is too long for the objects made from it: use at most 56 characters"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name becomes the name of a Service: begin with a letter and use only lower case letters, digits and '-'"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.service) || self.spec.service.name != self.metadata.name",message="spec.service.name is the name of the Service that callers will use for this MCPServer: give the MCPServer another name than the Service of the server"
type MCPServer struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what is wanted.
	// +required
	Spec MCPServerSpec `json:"spec"`
	// status is what is there.
	// +optional
	Status MCPServerStatus `json:"status,omitzero"`
}

// MCPServerList is a list of MCPServers.
//
// +kubebuilder:object:root=true
type MCPServerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MCPServer `json:"items"`
}

// MCPServerSpec says where the MCP server comes from and how its sampler runs.
//
// +kubebuilder:validation:XValidation:rule="[has(self.container), has(self.service), has(self.remote)].filter(x, x).size() == 1",message="name one source for the server: spec.container (run this image), spec.service (use a Service that is already there) or spec.remote (a server outside of this namespace)"
// +kubebuilder:validation:XValidation:rule="has(self.container) || !has(self.transport) || !has(self.transport.port)",message="spec.transport.port is for spec.container: with spec.service write the port in spec.service.port, with spec.remote in spec.remote.url"
// +kubebuilder:validation:XValidation:rule="!has(self.remote) || !has(self.transport) || !has(self.transport.path)",message="spec.transport.path is not for spec.remote: write the path in spec.remote.url"
// +kubebuilder:validation:XValidation:rule="!has(self.transport) || !has(self.transport.type) || self.transport.type != 'Stdio' || (has(self.container) && has(self.container.command) && self.container.command.size() > 0)",message="a server with transport type Stdio needs spec.container.command: the command that starts it, as its image's own is not known here"
// +kubebuilder:validation:XValidation:rule="has(self.container) || !has(self.replicas)",message="spec.replicas is for spec.container: scale the workload of the server itself, or set spec.sampler.replicas for the samplers"
// +kubebuilder:validation:XValidation:rule="has(self.container) || !has(self.podTemplate)",message="spec.podTemplate is for spec.container: for the sampler's pods write spec.sampler.podTemplate"
// +kubebuilder:validation:XValidation:rule="has(self.container) || !has(self.access) || !has(self.access.egress) || self.access.egress == 'Open'",message="spec.access.egress is for spec.container: bound the egress of a server that somebody else runs where it runs"
type MCPServerSpec struct {
	// transport is how the server speaks MCP. Omitted means Streamable HTTP.
	// +optional
	// +kubebuilder:default={}
	Transport Transport `json:"transport,omitzero"`

	// container runs the server from an image. Exactly one of container, service
	// and remote is set.
	// +optional
	Container *ServerContainer `json:"container,omitempty"`

	// service is a server that already runs behind a Service of this namespace.
	// +optional
	Service *ServerService `json:"service,omitempty"`

	// remote is a server that runs elsewhere and is reached by a URL.
	// +optional
	Remote *RemoteServer `json:"remote,omitempty"`

	// replicas is how many pods of the server run, 0 to 1000. Omitted leaves the
	// number to whoever sets it at the Deployment NAME-server, such as a
	// HorizontalPodAutoscaler of that Deployment; until somebody does there is
	// one, or as many as there were when the field was taken out. `kubectl scale`
	// and a HorizontalPodAutoscaler of the MCPServer itself write this field.
	// Only with container.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`

	// podTemplate is a strategic merge patch on the pod template of the server's
	// Deployment (metadata and spec), for all that has no field of its own. The
	// server's container is named "server". Omitted changes nothing. Only with
	// container.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	PodTemplate *apiextensionsv1.JSON `json:"podTemplate,omitempty"`

	// sampler configures the pods that stand in front of the server.
	// +optional
	// +kubebuilder:default={}
	Sampler SamplerSpec `json:"sampler,omitzero"`

	// allowedOrigins are the web pages that may call the server: values of the
	// header Origin, each scheme://host or scheme://host:port, or "*" for any. A
	// request with another one is refused; one without the header, as all but
	// browsers send, never is. Omitted allows no web page. At most 64 items.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	AllowedOrigins []Origin `json:"allowedOrigins,omitempty"`

	// access says who may connect to the server, and where the server may connect
	// to.
	// +optional
	// +kubebuilder:default={}
	Access Access `json:"access,omitzero"`

	// limits bound what callers and the server can make each sampler pod hold.
	// What is above is refused with an error that says so.
	// +optional
	// +kubebuilder:default={}
	Limits Limits `json:"limits,omitzero"`
}

// Origin is a value of the header Origin, or "*" for any.
//
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches('^([*]|[a-z][a-z0-9+.-]*://([a-z0-9._-]+|[[][0-9a-f:.]+[]])(:[0-9]{1,5})?)$')",message="write an origin as browsers send it, in lower case: scheme://host or scheme://host:port without a path, such as https://app.example.com, or * for any"
type Origin string

// Limits bound what a sampler holds.
type Limits struct {
	// requestBytes bounds the body of a caller's request, 1024 to 268435456.
	// Omitted means 16777216 (16 MiB).
	// +optional
	// +kubebuilder:default=16777216
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=268435456
	RequestBytes int64 `json:"requestBytes,omitempty"`

	// eventBytes bounds one event of the server, or, in the stateless era, one
	// result that asks for input, 1024 to 268435456. Other results pass without a
	// look, whatever their size. Omitted means 16777216 (16 MiB).
	// +optional
	// +kubebuilder:default=16777216
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=268435456
	EventBytes int64 `json:"eventBytes,omitempty"`

	// sessions bounds the sessions that are held, 1 to 100000. The one that is
	// idle for longest makes room for a new one. Omitted means 10000.
	// +optional
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Sessions int32 `json:"sessions,omitempty"`

	// streams bounds the requests and streams of callers that are open at the
	// same time, 1 to 200000. Omitted means 20000.
	// +optional
	// +kubebuilder:default=20000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200000
	Streams int32 `json:"streams,omitempty"`

	// samplingPerSession bounds the sampling requests of one session that are
	// answered at the same time, 1 to 256. Omitted means 64.
	// +optional
	// +kubebuilder:default=64
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	SamplingPerSession int32 `json:"samplingPerSession,omitempty"`
}

// ServerContainer is the container that the server runs in. What has no field
// here goes into spec.podTemplate.
type ServerContainer struct {
	// image is the container image of the server. At most 1024 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image"`

	// imagePullPolicy says when the image is pulled. Omitted means what
	// Kubernetes chooses from the image's tag.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// command replaces the image's entrypoint. Omitted keeps it. With transport
	// type Stdio it is what starts the server, and needed. At most 64 items.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Command []string `json:"command,omitempty"`

	// args replaces the image's arguments. Omitted keeps them. At most 256
	// items.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Args []string `json:"args,omitempty"`

	// env sets environment variables of the server. At most 256 items.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Env []corev1.EnvVar `json:"env,omitempty"`

	// envFrom takes environment variables from ConfigMaps and Secrets. At most
	// 64 items.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// resources are the requests and limits of the server's container. Omitted
	// sets none.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`

	// securityContext is that of the server's container. What is omitted is as Pod
	// Security "restricted" wants it: not as root, no capabilities.
	// +optional
	SecurityContext *corev1.SecurityContext `json:"securityContext,omitempty"`

	// volumeMounts mounts volumes that spec.podTemplate adds. At most 64 items.
	// +optional
	// +listType=map
	// +listMapKey=mountPath
	// +kubebuilder:validation:MaxItems=64
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty"`
}

// ServerService is a Service of the same namespace with the server behind it.
type ServerService struct {
	// name is the name of the Service. At most 63 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// port is the port of the Service, 1 to 65535.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
}

// ResidentSession says what the sampler does with a session of its own.
//
// +kubebuilder:validation:Enum=Probe;Hold;Off
type ResidentSession string

const (
	// ResidentSessionProbe connects, looks and closes, again at intervals.
	ResidentSessionProbe ResidentSession = "Probe"
	// ResidentSessionHold stays connected and serves sampling that the server
	// asks for outside of any call.
	ResidentSessionHold ResidentSession = "Hold"
	// ResidentSessionOff never connects; the condition Verified is Unknown then.
	ResidentSessionOff ResidentSession = "Off"
)

// SamplerSpec configures the sampler pods.
type SamplerSpec struct {
	// replicas is how many sampler pods run, 1 to 100. Omitted means 1. Any of
	// them serves any caller: a request goes on to the pod that holds its session.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Replicas *int32 `json:"replicas,omitempty"`

	// resources are the requests and limits of the sampler's container. Omitted
	// requests 10m of CPU and 32Mi of memory and limits memory to 512Mi; what is
	// given replaces all of that. With a limit of memory the sampler keeps below
	// it as well as it can (the environment variable GOMEMLIMIT).
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// podTemplate is a strategic merge patch on the pod template of the
	// sampler's Deployment (metadata and spec). The container is named
	// "sampler". Omitted changes nothing.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	PodTemplate *apiextensionsv1.JSON `json:"podTemplate,omitempty"`

	// residentSession is what the sampler does with a session of its own. Probe
	// connects, lists the tools and closes, again at intervals; Hold stays
	// connected and serves sampling that the server asks for outside of any
	// call; Off never connects. Omitted means Probe.
	// +optional
	// +kubebuilder:default=Probe
	ResidentSession ResidentSession `json:"residentSession,omitempty"`
}

// MCPServerStatus is what the operator saw last.
type MCPServerStatus struct {
	// observedGeneration is the metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// url is where callers inside the cluster reach the server, through its
	// sampler.
	// +optional
	URL string `json:"url,omitempty"`

	// server is what the server said of itself to the sampler.
	// +optional
	Server *ServerInfo `json:"server,omitempty"`

	// samplingPolicy is the SamplingPolicy that governs this server; absent
	// without one.
	// +optional
	SamplingPolicy *AttachedPolicy `json:"samplingPolicy,omitempty"`

	// replicas is the number of server pods; 0 with service and remote.
	// +optional
	Replicas int32 `json:"replicas"`

	// readyReplicas is the number of server pods that are ready.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`

	// selector selects the server pods, for the scale subresource.
	// +optional
	Selector string `json:"selector,omitempty"`

	// conditions are Accepted, ResolvedRefs, Available, Verified, SamplingReady
	// and the summary Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ServerInfo is what an MCP server says of itself. Its texts are the server's
// own, cut to 256 bytes.
type ServerInfo struct {
	// name is serverInfo.name of the handshake.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Name string `json:"name,omitempty"`

	// version is serverInfo.version of the handshake.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Version string `json:"version,omitempty"`

	// protocolVersion is the version of MCP that the server agreed to.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	ProtocolVersion string `json:"protocolVersion,omitempty"`

	// era is the era of the protocol that the server was found in: Legacy, which
	// has sessions, or Modern, which has none.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Era string `json:"era,omitempty"`

	// tools is the number of tools that the server lists; absent if it offers
	// none.
	// +optional
	Tools *int32 `json:"tools,omitempty"`
}

// AttachedPolicy names the policy that governs a server.
type AttachedPolicy struct {
	// name is the name of the SamplingPolicy.
	// +required
	Name string `json:"name"`

	// uid is the metadata.uid of the SamplingPolicy. It tells a policy from an
	// earlier one of the same name, whose generations began at 1 as well.
	// +optional
	UID types.UID `json:"uid,omitempty"`

	// hash identifies the effective configuration that the samplers are to
	// load; each sampler reports the one it has loaded.
	// +optional
	Hash string `json:"hash,omitempty"`

	// programmedGeneration is the metadata.generation of the SamplingPolicy that
	// every ready sampler of this server has loaded; absent until then.
	// +optional
	ProgrammedGeneration int64 `json:"programmedGeneration,omitempty"`
}
