# docker buildx bake                                                          both images, for this machine
# docker buildx bake --set '*.platform=linux/amd64,linux/arm64' --push        both, for both processors, to a registry

variable "VERSION" {
  default = "2.0.0"
}

# To refresh: docker buildx imagetools inspect python:3.12-slim-bookworm --format '{{.Manifest.Digest}}'; compose.yaml too.
variable "DIGEST" {
  default = "sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254"
}

variable "NAME" {
  default = "expressions"
}

group "default" {
  targets = ["full", "lite"]
}

target "image" {
  contexts = {
    "python:3.12-slim-bookworm" = "docker-image://python:3.12-slim-bookworm@${DIGEST}"
  }
  labels = {
    "org.opencontainers.image.title"       = "Facial expression service"
    "org.opencontainers.image.description" = "Finds the faces in a picture and names the expression that each shows"
    "org.opencontainers.image.version"     = VERSION
    "org.opencontainers.image.licenses"    = "MIT"
  }
}

target "full" {
  inherits = ["image"]
  target   = "full"
  tags     = ["${NAME}:${VERSION}"]
}

target "lite" {
  inherits = ["image"]
  target   = "lite"
  tags     = ["${NAME}:${VERSION}-lite"]
}
