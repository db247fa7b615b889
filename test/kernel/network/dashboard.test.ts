import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { testIf } from '../../support';
import { Browser, hasChromium } from './browser';
import { inLab, labNeeded } from './world';

const root = join(__dirname, '../../..');

testIf(hasChromium && inLab, hasChromium ? labNeeded : 'Chromium', 'the dashboard shows allowed and refused connections', async () => {
  const example = spawn(process.execPath, [join(root, 'dist-examples/egress-dashboard.js'), '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(example.stdout, 'data')) as [Buffer];
  const browser = new Browser(1000, 720);
  try {
    await browser.open(line.toString().trim());
    const shown = ['api.local', 'packages.local', 'tracker.example', '169.254.169.254', '10.0.0.5', 'special-address', 'service'];
    const all = JSON.stringify(shown);
    await browser.until(`${all}.every((text) => document.body.innerText.includes(text))`, 30_000);
    expect(await browser.evaluate("document.querySelectorAll('tr.refused').length >= 3")).toBe(true);
    const picture = await browser.screenshot();
    expect(picture.subarray(1, 4).toString()).toBe('PNG');
    // This screenshot is the picture in the docs.
    const directory = process.env.NSJS_SCREENSHOTS;
    if (directory) {
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, 'egress-dashboard.png'), picture);
    }
  } finally {
    await browser.close();
    example.kill();
    await once(example, 'exit');
  }
});
