# How does a bare machine come to run this checkout? bash functions, sourced by the scripts beside this folder.
#
# Needs Debian or Ubuntu with Python 3.11–3.13, nothing prepared. Makes `.venv` in the checkout and installs from the
# lock files there, every file checked against its hash. Writes nowhere else, but for apt as root where Python's own
# venv parts are missing. Run again, it only compares a digest.

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 2
}

# Print the first usable Python: 3.11 before newer ones, which have locked wheels too.
find_python() {
  local candidate
  for candidate in python3.11 python3.12 python3.13 python3; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  die 'no Python 3.11, 3.12 or 3.13 on PATH; install the package `python3.11` (on Debian 12: `python3`)'
}

# Install Debian's package with Python's venv parts, as root; elsewhere say its name and stop.
install_venv_package() {
  local python=$1 package
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    die "this Python has neither ensurepip nor pip; install the package \`$package\` and run this again"
  fi
  say "installing Debian's $package"
  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "$package"; } >/dev/null </dev/null ||
    die "the package \`$package\` could not be installed by apt-get; install it and run this again"
}

make_venv() {
  local python=$1
  "$python" -m venv --clear --without-pip .venv >/dev/null 2>&1 && return
  [ -w . ] || die "\`.venv\` cannot be made: $PWD must be writable"
  install_venv_package "$python"
  "$python" -m venv --clear --without-pip .venv || die "\`$python -m venv\` fails even with Debian's package"
}

# Put pip into `.venv`: Python's own copy, else the locked one brought in by the machine's pip, else apt's.
make_pip() {
  local python=$1 venv=.venv/bin/python site
  "$venv" -m pip --version >/dev/null 2>&1 && return
  "$venv" -m ensurepip >/dev/null 2>&1 && return
  if "$python" -m pip --version >/dev/null 2>&1; then
    site=$("$venv" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    fetch "$python" --target "$site" -r requirements-build.lock
  else
    install_venv_package "$python"
    "$venv" -m ensurepip >/dev/null || die "ensurepip fails even with Debian's package"
  fi
}

# Run pip of the Python named first; what it says goes to `.venv/install.log` and is told if it fails.
fetch() {
  local python=$1
  shift
  "$python" -m pip install --quiet --no-input --disable-pip-version-check --progress-bar off --retries 2 \
    --only-binary :all: --require-hashes "$@" >.venv/install.log 2>&1 </dev/null && return
  tail -n 3 .venv/install.log >&2
  die "the locked packages could not be installed (.venv/install.log has the whole story); this needs the package" \
    "index, or PIP_FIND_LINKS naming a folder with their wheels"
}

# The digest of all that an installation depends on, this place included, for launchers carry its path.
installation_digest() {
  { printf '%s\n' "$PWD"; cat pyproject.toml requirements.lock "$@"; } | sha256sum | cut -d' ' -f1
}

# bootstrap runtime|dev: make `.venv` ready with what the service needs, or with what its tests need as well.
bootstrap() {
  local set=$1 python digest takes started=$SECONDS
  local locks=(requirements-build.lock requirements.lock)
  unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV
  [ "$set" = runtime ] || locks=(requirements-dev.lock)
  digest=$(installation_digest "${locks[@]}")
  if [ "$(cat ".venv/installed-$set" 2>/dev/null)" = "$digest" ] && .venv/bin/python -c '' 2>/dev/null; then
    return
  fi
  python=$(find_python)
  [ "$set" = runtime ] && takes='20 s' || takes='a minute'
  say "installing into .venv with $("$python" --version), once a lock file: about $takes ..."
  .venv/bin/python -c '' 2>/dev/null || make_venv "$python"
  make_pip "$python"
  fetch .venv/bin/python "${locks[@]/#/--requirement=}"
  .venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check --no-index --no-deps \
    --no-build-isolation --editable . >.venv/install.log 2>&1 || { cat .venv/install.log >&2; die "the project itself could not be installed"; }
  printf '%s\n' "$digest" >".venv/installed-$set"
  say "installed in $((SECONDS - started)) s"
}
