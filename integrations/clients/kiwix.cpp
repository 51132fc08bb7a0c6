// Downloads a file with the Downloader of libkiwix: adds, pauses and resumes the download, ends aria2c,
// starts aria2c again, and waits until the file is complete. The argument is the URL. The program prints
// the path of the file. libkiwix 11 sends each option as a parameter of its own, and aria2 uses only one of
// these parameters. So this download has only one option.
#include <chrono>
#include <iostream>
#include <kiwix/downloader.h>
#include <stdexcept>
#include <string>
#include <thread>

// Waits at most 30 seconds for a status, and fails if the download ends with another status.
static void wait_for(kiwix::Download* download, kiwix::Download::StatusResult wanted) {
  for (int tries = 0; tries < 300; tries++) {
    download->updateStatus(true);
    const auto status = download->getStatus();
    if (status == wanted) return;
    if (status == kiwix::Download::K_ERROR || status == kiwix::Download::K_REMOVED) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  throw std::runtime_error("status " + std::to_string(download->getStatus()) + " instead of " +
                           std::to_string(wanted));
}

// Starts a download that takes some seconds, pauses and resumes it, and ends aria2c before the file is
// complete. Returns the identifier of the download.
static std::string start(const std::string& url) {
  kiwix::Downloader downloader;
  auto* download = downloader.startDownload(url, {{"max-download-limit", "1M"}});
  wait_for(download, kiwix::Download::K_ACTIVE);
  download->pauseDownload();
  wait_for(download, kiwix::Download::K_PAUSED);
  download->resumeDownload();
  wait_for(download, kiwix::Download::K_ACTIVE);
  const auto identifier = download->getDid();
  downloader.close();
  return identifier;
}

int main(int, char** arguments) try {
  const auto identifier = start(arguments[1]);
  kiwix::Downloader downloader;
  auto* download = downloader.getDownload(identifier);
  wait_for(download, kiwix::Download::K_COMPLETE);
  std::cout << download->getPath() << std::endl;
  downloader.close();
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
