# docker buildx bake -f docker-bake.hcl                                                     for this machine
# docker buildx bake -f docker-bake.hcl --set '*.platform=linux/amd64,linux/arm64' --push   for a registry

variable "IMAGE" {
  default = "expressions"
}

variable "VERSION" {
  default = "2.0.0"
}

# The commit and the repository's address, where they are known.
variable "REVISION" {
  default = ""
}

variable "SOURCE" {
  default = ""
}

group "default" {
  targets = ["full", "lite"]
}

# The Dockerfile has the other labels.
target "labelled" {
  labels = {
    "org.opencontainers.image.version"  = VERSION
    "org.opencontainers.image.revision" = REVISION
    "org.opencontainers.image.source"   = SOURCE
  }
}

target "full" {
  inherits = ["labelled"]
  target   = "full"
  tags     = ["${IMAGE}:${VERSION}"]
}

target "lite" {
  inherits = ["labelled"]
  target   = "lite"
  tags     = ["${IMAGE}:${VERSION}-lite"]
}
