"""The page in a browser: pictures dropped, pasted, picked, compared, saved; keys; 400 px."""

import base64
import io
import re
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.serving.stand import serving, wait_for

webdriver = pytest.importorskip("selenium.webdriver")
keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
chains = webdriver.ActionChains

SIZE = (200, 300)
# Builds files in the page and hands them over as a drop or a paste does.
GIVE = """
const [event, given] = arguments, transfer = new DataTransfer();
for (const [name, text] of given)
  transfer.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name));
const options = {bubbles: true, cancelable: true};
document.body.dispatchEvent(event === "paste"
  ? new ClipboardEvent("paste", {...options, clipboardData: transfer})
  : new DragEvent(event, {...options, dataTransfer: transfer}));
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(["-m", "tests.serving.stand", 0, 0], tmp_path_factory.mktemp("stand")) as server:
        yield server


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def driver(downloads):
    place, program = shutil.which("chromedriver"), shutil.which("chromium")
    if not place or not program:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(place))
    yield browser
    browser.quit()


class Page:
    """A browser's page of a server."""

    def __init__(self, driver, served, path="/below/"):
        self.driver = driver
        driver.get(served.address + path)
        wait_for(lambda: self.run("document.querySelectorAll('#examples img').length"))

    def run(self, script):
        """Return the value of an expression."""
        return self.driver.execute_script(f"return {script}")

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def give(self, event, *files):
        """Drop or paste files, (name, bytes) each."""
        given = [(name, base64.b64encode(content).decode()) for name, content in files]
        self.driver.execute_script(GIVE, event, given)

    def wait_for_status(self, *words):
        """Wait until the page says something."""
        return wait_for(lambda: all(word in self.find("#status").text for word in words))

    def wait_until_made(self, suffix):
        """Wait until a file of this end can be saved."""
        name = "$('download').hidden ? '' : $('download').download"
        wait_for(
            lambda: self.run(name).endswith(suffix) and self.find("#status").text != "Working …"
        )

    def saved(self, downloads, selector):
        """Return the bytes of the file that a link saves."""
        name = self.find(selector).get_attribute("download")
        for file in downloads.iterdir():
            file.unlink()
        self.driver.execute_script("arguments[0].click()", self.find(selector))
        wait_for((downloads / name).is_file)
        return (downloads / name).read_bytes()


@pytest.fixture
def page(driver, served):
    driver.set_window_size(1200, 900)
    return Page(driver, served)


def picture(columns=150):
    """A PNG file whose left columns are red."""
    pixels = np.full((*SIZE, 3), 60, np.uint8)
    pixels[:, :, 0] = 0
    pixels[:, :columns, 0] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def open_picture(content):
    return Image.open(io.BytesIO(content))


def test_a_dropped_picture_is_cut_out_compared_and_saved(page, downloads):
    page.give("drop", ("dir.name.png", picture()))
    page.wait_until_made("dir.name_cutout.png")
    cutout = open_picture(page.saved(downloads, "#download"))
    assert (cutout.mode, cutout.size) == ("RGBA", SIZE[::-1])
    assert np.asarray(cutout)[:, :140, 3].min() == 255
    assert np.asarray(cutout)[:, 160:, 3].max() == 0
    assert page.run("$('stage').classList.contains('compare')")
    page.find("#split").send_keys(keys.HOME)
    assert page.run("getComputedStyle($('after')).clipPath") == "inset(0px 0px 0px 0%)"
    page.find("#split").send_keys(keys.END)
    assert page.run("getComputedStyle($('after')).clipPath") == "inset(0px 0px 0px 100%)"
    chains(page.driver).move_to_element(page.find("#stage")).click().perform()
    assert 45 <= int(page.run("$('split').value")) <= 55


def test_settings_are_those_of_the_saved_file(page, downloads):
    page.give("drop", ("a.png", picture()))
    page.wait_until_made("a_cutout.png")
    page.find("#background option[value='blur']").click()
    page.find("#format option[value='jpeg']").click()
    page.wait_until_made("a_cutout.jpeg")
    assert open_picture(page.saved(downloads, "#download")).format == "JPEG"
    page.find("[value=map] + span").click()
    page.find("#hard").click()
    page.find("#format option[value='png']").click()
    page.wait_until_made("a_map.png")
    wait_for(lambda: set(np.unique(open_picture(page.saved(downloads, "#download")))) == {0, 255})


def test_a_pasted_picture_and_one_in_which_nothing_stands_out(page):
    page.give("paste", ("image.png", picture(0)))
    page.wait_for_status("Nothing that stands out was found")
    page.give("paste")
    page.wait_for_status("The clipboard holds no image")


def test_an_example_by_keys_alone(page):
    page.find("body").send_keys(keys.TAB)
    assert page.run("document.activeElement.id") == "file"
    page.find("body").send_keys(keys.TAB)
    page.driver.switch_to.active_element.send_keys(keys.ENTER)
    page.wait_until_made("barrel_cutout.png")
    page.find("[value=cutout]").send_keys(keys.ARROW_RIGHT)
    page.wait_until_made("barrel_overlay.png")


def test_a_bad_file_is_named_and_its_name_is_no_html(page):
    page.give("drop", ("<img src=x onerror=alert(1)>.png", b"no picture"))
    page.wait_for_status("<img src=x onerror=alert(1)>.png: ", "not an image")
    assert page.find("#status").get_attribute("class") == "error"
    assert page.run("document.querySelectorAll('#status img').length") == 0


def test_many_pictures_make_a_zip_and_the_bad_one_is_named(page, downloads):
    names = ["a.png", "a.webp", "ü/b.png", "bad.png"]
    contents = [picture(30), picture(60), picture(90), b"no picture"]
    page.give("drop", *zip(names, contents, strict=True))
    page.wait_for_status("4 images")
    page.find("[value=map] + span").click()
    page.find("#start").click()
    page.wait_for_status("3 of 4 made; 1 could not be made, see the list.")
    assert "bad.png: " in page.find("#list .failed").text
    assert page.run("$('progress').value") == 4
    with zipfile.ZipFile(io.BytesIO(page.saved(downloads, "#zip"))) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["a (2).png", "a.png", "ü_b.png"]
        maps = [np.asarray(open_picture(archive.read(name))) for name in archive.namelist()]
    assert sorted(int((levels == 255).sum()) // SIZE[0] for levels in maps) == [30, 60, 90]


@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_is_wider_than_the_window(page, width):
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
    )
    page.give("drop", ("a.png", picture()))
    page.wait_until_made("a_cutout.png")
    assert page.run("innerWidth") == width
    assert page.run("document.documentElement.scrollWidth") <= width
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_asks_nobody_else_and_breaks_no_rule_of_its_own(page, served):
    page.give("drop", ("a.png", picture()))
    page.wait_until_made("a_cutout.png")
    log = " ".join(entry["message"] for entry in page.driver.get_log("performance"))
    asked = set(re.findall(r'"url":"(\w+://[^"/]*)', log))
    assert {address for address in asked if not address.startswith("chrome")} == {served.address}
    said = [entry["message"] for entry in page.driver.get_log("browser")]
    assert not [line for line in said if "Content Security Policy" in line or "Uncaught" in line]


def test_a_network_without_attention_says_so(page):
    page.give("drop", ("a.png", picture()))
    page.find("[value=attention] + span").click()
    page.wait_for_status("a.png: an .onnx file holds the map alone")


def test_a_server_that_has_ended_is_told(driver, tmp_path):
    with serving(["-m", "tests.serving.stand", 0, 0], tmp_path) as server:
        page = Page(driver, server)
    page.give("drop", ("a.png", picture()))
    page.wait_for_status("the server does not answer")


def test_a_click_and_keys_choose_the_point_of_attention(driver, trained, tmp_path, downloads):
    command = ["main.py", "--mode=serve", "--workdir", trained, "--port=0"]
    with serving(command, tmp_path) as server:
        page = Page(driver, server, "/")
        page.give("drop", ("a.png", picture()))
        page.find("[value=attention] + span").click()
        wait_for(lambda: not page.run("$('sheet').hidden"))
        page.wait_until_made("a_attention.png")
        middle = page.saved(downloads, "#download")
        page.find("#target").click()
        page.find("#target").send_keys(keys.ARROW_LEFT * 9, keys.ENTER)
        wait_for(lambda: page.run("point.x") < 0.1)
        page.wait_until_made("a_attention.png")
        wait_for(lambda: page.saved(downloads, "#download") != middle)
