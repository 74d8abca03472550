// The token stands in the fragment, which no server or proxy ever sees; it is posted once and leaves the address.
const token = window.location.hash.slice(1);
if (token) {
  window.history.replaceState(null, "", window.location.pathname);
  const form = document.getElementById("login-link");
  form.elements.token.value = token;
  document.getElementById("login-link-working").classList.remove("hidden");
  form.submit();
} else {
  document.getElementById("login-link-help").classList.remove("hidden");
}
