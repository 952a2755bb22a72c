// @ts-check
// Swagger UI over the service's own description.

const { SwaggerUIBundle } = /** @type {any} */ (window);

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
