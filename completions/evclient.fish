# Completion of evclient for fish. Made from its options by make manual.

complete -c evclient -f
complete -c evclient -F
complete -c evclient -l dialect -x -a 'lines joined listed' -d 'dialect of the server: lines, joined or listed (lines)'
complete -c evclient -l to -r -F -d 'get: local file, or the folder for the files'
complete -c evclient -l as -x -d 'put: name of the stored file'
complete -c evclient -l udp -d 'say: send datagrams'
complete -c evclient -l tls -d 'connect with TLS, to evserve --file-tls; the system\'s certificates decide which servers are trusted'
complete -c evclient -l ca -r -F -d 'trust only the certificates in this PEM file and what they sign, such as the server\'s self-signed.crt'
complete -c evclient -l insecure -d 'trust any server: the connection is encrypted, but anybody could be at its other end'
complete -c evclient -s V -l version -d 'print the version'
complete -c evclient -s h -l help -d 'display usage information'
