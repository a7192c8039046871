// Opens a contract that the page names: the one of the address, else the first. A file of its own,
// so that the page needs no inline script. The bundle has no selector: it would need the preset.
const documents = document.getElementById('documents');
const options = [...documents.options];
const asked = new URLSearchParams(location.search).get('document');
const chosen = options.find((option) => option.value === asked) ?? options[0];

chosen.selected = true;
documents.hidden = options.length < 2;
documents.addEventListener('change', () => {
  location.assign('?' + new URLSearchParams({ document: documents.value }));
});

SwaggerUIBundle({
  domNode: document.getElementById('contract'),
  url: chosen.value,
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // Swagger's own validator would be told the address of this service
});
