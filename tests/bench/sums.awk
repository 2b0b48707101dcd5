# As engines.py, in gawk: zcat rows.log.gz | gawk -f tests/bench/sums.awk
$14 == "OK" {
    cell = $3 " " int($11 / 300) " " $13
    records[cell]++; packets[cell] += $9; bytes[cell] += $10
    if ($13 == "REJECT") pairs[$4 " " $5 " " $7 " " $8]++
}
END {
    for (cell in records) { r += records[cell]; p += packets[cell]; b += bytes[cell]; n++ }
    printf "%d records, %d packets, %d bytes, %d sums, %d refused connections\n", r, p, b, n, length(pairs)
}
