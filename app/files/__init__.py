"""Files on their way in: read out of a form, checked by their content, stored, removed."""
