// Opens the contract named by the page. A file of its own, so that the page needs no inline script.
const contract = document.getElementById('contract');

SwaggerUIBundle({
  domNode: contract,
  url: contract.dataset.url,
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // Swagger's own validator would be told the address of this service
});
