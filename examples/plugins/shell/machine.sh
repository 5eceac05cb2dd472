#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A plugin in shell: what this machine is doing. It speaks JSON lines: `protocol = "json-lines"`.

# The host's first line has the plugin's configuration; this one's has its entries.
read -r load
echo '{"becket":1,"name":"machine","version":"0.1.0","entries":["load","disk",{"name":"ticks","kind":"stream"}]}'

while read -r line; do
  # `id` is the first member of a line.
  id=${line#'{"id":'}
  id=${id%%,*}
  case $line in
    *'"cancel":true'* | *'"close":true'*) ;;
    *'"entry":"load"'*)
      read -r one rest < /proc/loadavg
      echo "{\"id\":$id,\"body\":\"$one\"}"
      ;;
    *'"entry":"disk"'*)
      used=$(df -P / | awk 'NR == 2 { print $5 }')
      echo "{\"id\":$id,\"body\":\"$used\"}"
      ;;
    *'"entry":"ticks"'*)
      for tick in 1 2 3; do
        echo "{\"id\":$id,\"frame\":\"tick $tick\"}"
      done
      echo "{\"id\":$id,\"end\":true}"
      ;;
  esac
done
