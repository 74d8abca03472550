"""What Unfold's pages lack for those who listen to them or have no mouse."""

import re

from django import template
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

# Its icons are words of a font: they would be read aloud as they are spelt, "arrow_back".
_ICON = re.compile(r'<span (class="material-symbols-outlined[^>]*)>')
_KEYS = 'x-on:keydown.enter="$el.click()" x-on:keydown.space.prevent="$el.click()"'


@register.filter
def accessible(page: SafeString) -> SafeString:
    """Return *page*, which is safe, with its main part named as such, its icons silent and its buttons for keys too."""
    html = _ICON.sub(_icon, page)
    part = '<div id="main"' if '<div id="main"' in html else '<div id="page"'
    html = html.replace(part, f'{part} role="main"', 1)
    html = html.replace('id="searchbar-submit"', 'id="searchbar-submit" aria-label="Search"', 1)
    # Each region that scrolls has a name of its own.
    html = html.replace('id="nav-sidebar-apps"', 'id="nav-sidebar-apps" data-simplebar-aria-label="Pages"', 1)
    return mark_safe(html)  # noqa: S308 - as safe as it came


def _icon(found: re.Match[str]) -> str:
    attributes = found[1]
    if "x-on:click" in attributes:
        return f'<span role="button" tabindex="0" aria-label="Show or hide the menu" {_KEYS} {attributes}>'
    return f'<span aria-hidden="true" {attributes}>'
