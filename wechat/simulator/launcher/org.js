// The people of the organisation, who are of use where links open in a browser that members of a corp have.

const MEMBERS_BROWSERS = ['wecom', 'desktop'];

// showOrg shows them for a browser, and in any case whoever of them holds the phone.
export function showOrg(browser) {
  for (const chip of document.querySelectorAll('#people [data-org]')) {
    chip.hidden = !MEMBERS_BROWSERS.includes(browser) && chip.getAttribute('aria-pressed') !== 'true';
  }
}
