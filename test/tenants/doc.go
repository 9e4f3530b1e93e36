// Package tenants holds the tests of what people can and cannot get by way of the
// operator: a real API server with the admission policies and roles that we ship
// is shown the attempts of users with different rights.
package tenants
