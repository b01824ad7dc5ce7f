"""Code that tests of several kinds share: servers, clusters, services, devices."""
