// Who am I: a token, held in memory until the page is left.
import { h, announce } from './dom.js';
import * as store from './store.js';

export function openSignIn() {
  const input = h('input', { type: 'password', id: 'token', autocomplete: 'off', spellcheck: 'false', required: true, placeholder: 'gty_…' });
  const problem = h('p.field-problem', { role: 'alert' });
  const button = h('button.button.primary', { type: 'submit' }, 'Sign in');
  const dialog = h('dialog.dialog', { aria: { labelledby: 'sign-in-title' } },
    h('form', {
      method: 'dialog',
      onSubmit: async (event) => {
        event.preventDefault();
        problem.textContent = '';
        button.disabled = true;
        try {
          await store.signIn(input.value.trim());
          announce(`Signed in as ${store.state.me.name || store.state.me.subject}`, 'good');
          dialog.close();
        } catch (error) {
          problem.textContent = error.message;
          input.select();
        }
        button.disabled = false;
      },
    },
    h('h2', { id: 'sign-in-title' }, 'Sign in'),
    h('label', { for: 'token' }, 'Token'), input, problem,
    h('p.quiet', null, 'An admin makes one with ', h('code', null, 'gantry token create'), '. It is kept in this page’s memory only and is gone when you close or reload it.'),
    h('div.dialog-buttons', null, h('button.button', { type: 'button', onClick: () => dialog.close() }, 'Cancel'), button)));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
