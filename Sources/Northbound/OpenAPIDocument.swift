/// openapi.yaml, as `GET /openapi.yaml` answers it: kept in the program so that it needs no files beside it.
package enum OpenAPIDocument {
    package static let text = Self.paths + "\n" + Self.components

    private static let paths = #"""
        openapi: 3.1.0
        info:
          title: coap-gateway, northbound
          version: "1"
          summary: Users, provisioning, devices and their resources over HTTP.
          description: |
            Devices keep a CoAP-over-TCP connection to the cloud; this interface registers people, provisions
            clients and devices, and passes requests on to devices.

            The path to a first answer: POST /register/user, POST /provision/mediator, POST /provision/client and
            /provision/device, POST /oic/sec/account for the client (the device does the same over CoAP), then any
            request to /{di}/{href} with the client's token.

            Bodies are JSON. Every answer carries X-Request-Id, which finds the request in the logs of every
            program; a request may bring its own (1 to 64 printable characters without blanks). HEAD works wherever
            GET does. OPTIONS, TRACE, CONNECT and unknown methods are answered 501.
          license:
            name: Apache-2.0
            identifier: Apache-2.0
        servers:
          - url: /
        tags:
          - name: identity
            description: Users, mediators, one-time codes, sign-up and refresh.
          - name: directory
            description: What devices there are and what they offer.
          - name: devices
            description: Requests to devices.
          - name: documents
            description: What this program says about itself.
        paths:
          /register/user:
            post:
              tags: [identity]
              operationId: registerUser
              summary: Registers a user and shows his access token, once.
              description: Governed by REGISTRATION (open or closed), and limited per address.
              requestBody:
                required: true
                content:
                  application/json:
                    schema:
                      type: object
                      required: [uid]
                      properties:
                        uid: {$ref: "#/components/schemas/Id"}
                        authprovider: {type: string, maxLength: 128, examples: [test]}
              responses:
                "200": {$ref: "#/components/responses/Token"}
                "400": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                "409": {$ref: "#/components/responses/Problem"}
                "429": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /provision/mediator:
            post:
              tags: [identity]
              operationId: provisionMediator
              summary: Makes a mediator of the user, who may provision clients and devices.
              requestBody:
                required: true
                content:
                  application/json:
                    schema:
                      type: object
                      required: [uid, accesstoken]
                      properties:
                        uid: {$ref: "#/components/schemas/Id"}
                        accesstoken: {$ref: "#/components/schemas/Secret"}
              responses:
                "200": {$ref: "#/components/responses/Token"}
                "400": {$ref: "#/components/responses/Problem"}
                "401": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /provision/client:
            post:
              tags: [identity]
              operationId: provisionClient
              summary: Issues a one-time code for a client.
              security: [{mediator: []}]
              requestBody: {$ref: "#/components/requestBodies/Provision"}
              responses:
                "200": {$ref: "#/components/responses/Token"}
                "400": {$ref: "#/components/responses/Problem"}
                "401": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /provision/device:
            post:
              tags: [identity]
              operationId: provisionDevice
              summary: Issues a one-time code for a device.
              security: [{mediator: []}]
              requestBody: {$ref: "#/components/requestBodies/Provision"}
              responses:
                "200": {$ref: "#/components/responses/Token"}
                "400": {$ref: "#/components/responses/Problem"}
                "401": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /oic/sec/account:
            post:
              tags: [identity]
              operationId: signUp
              summary: Exchanges a one-time code for the tokens of a client.
              requestBody:
                required: true
                content:
                  application/json:
                    schema:
                      type: object
                      required: [di, accesstoken]
                      properties:
                        uid: {$ref: "#/components/schemas/Id"}
                        di: {$ref: "#/components/schemas/Id"}
                        accesstoken: {$ref: "#/components/schemas/Secret"}
                        authprovider: {type: string, maxLength: 128}
              responses:
                "200": {$ref: "#/components/responses/Credentials"}
                "400": {$ref: "#/components/responses/Problem"}
                "401": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /oic/sec/tokenrefresh:
            post:
              tags: [identity]
              operationId: refresh
              summary: Changes a refresh token for a new pair.
              requestBody:
                required: true
                content:
                  application/json:
                    schema:
                      type: object
                      required: [uid, di, refreshtoken]
                      properties:
                        uid: {$ref: "#/components/schemas/Id"}
                        di: {$ref: "#/components/schemas/Id"}
                        refreshtoken: {$ref: "#/components/schemas/Secret"}
              responses:
                "200": {$ref: "#/components/responses/Credentials"}
                "400": {$ref: "#/components/responses/Problem"}
                "401": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /oic/res:
            get:
              tags: [directory]
              operationId: discover
              summary: Lists the discoverable resources of your devices.
              description: |
                The href of a link is the path to ask it under. A filter given twice means either; two filters mean
                both.
              security: [{user: []}, {client: []}]
              parameters:
                - {name: di, in: query, description: Only of this device., schema: {type: array, items: {type: string}}}
                - name: rt
                  in: query
                  description: Only of this resource type.
                  schema: {type: array, items: {type: string}}
                - name: if
                  in: query
                  description: The form of the list; an unknown one means the first.
                  schema: {type: string, enum: [oic.if.ll, oic.if.b, oic.if.baseline]}
              responses:
                "200":
                  description: The links.
                  content:
                    application/json:
                      schema: {type: array, items: {$ref: "#/components/schemas/Link"}}
                "401": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /devices:
            get:
              tags: [directory]
              operationId: listDevices
              summary: Lists your devices in the order of their ids.
              security: [{user: []}, {client: []}]
              parameters:
                - name: limit
                  in: query
                  description: How many devices a page has at most.
                  schema: {type: integer, minimum: 1, maximum: 1000, default: 100}
                - name: cursor
                  in: query
                  description: The `next` of the page before, unchanged. Pages stay right while devices come and go.
                  schema: {type: string}
              responses:
                "200":
                  description: A page.
                  content:
                    application/json:
                      schema:
                        type: object
                        required: [devices]
                        properties:
                          devices: {type: array, items: {$ref: "#/components/schemas/Device"}}
                          next: {type: string, description: The cursor of the next page; absent on the last.}
                "400": {$ref: "#/components/responses/Problem"}
                "401": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /devices/{di}:
            parameters:
              - {$ref: "#/components/parameters/Device"}
            get:
              tags: [directory]
              operationId: showDevice
              summary: Shows a device of yours with its links.
              security: [{user: []}, {client: []}]
              responses:
                "200":
                  description: The device.
                  content:
                    application/json:
                      schema:
                        allOf:
                          - {$ref: "#/components/schemas/Device"}
                          - type: object
                            required: [links]
                            properties:
                              links: {type: array, items: {$ref: "#/components/schemas/Link"}}
                "401": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                "404": {$ref: "#/components/responses/Problem"}
                "429": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
            delete:
              tags: [directory]
              operationId: deleteDevice
              summary: Deletes a device of yours, its tokens and links, and ends its session.
              security: [{user: []}]
              responses:
                "204": {description: It is gone.}
                "401": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                "404": {$ref: "#/components/responses/Problem"}
                "429": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /events:
            get:
              tags: [directory]
              operationId: followEvents
              summary: Tells what happens to your devices, as it happens.
              description: |
                Server-sent events, at most 16 streams an owner. Each has an `id`, its kind as its name, and `di`, `at`
                and `text` in JSON: device.signed-in, device.signed-out, device.deleted, device.contested,
                links.published, links.changed, links.unpublished, token.reuse; there may be others. `ready` comes first
                and says where you are. `gap` means that events are lost. `end` is a problem, and the last event.

                The last id in Last-Event-ID, or `after`, goes on behind it, at any northbound; without it the stream
                begins now. About 1,000 events of the last seven days are kept; `after=0-0` begins with the oldest.
              security: [{user: []}, {client: []}]
              parameters:
                - {name: Last-Event-ID, in: header, schema: {type: string, examples: ["1700000000000-7"]}}
                - {name: after, in: query, schema: {type: string, examples: ["0-0"]}}
              responses:
                "200": {description: The stream., content: {text/event-stream: {schema: {type: string}}}}
                "401": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                "429": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /mediators:
            get:
              tags: [identity]
              operationId: listMediators
              summary: Lists your mediators, without their tokens.
              security: [{user: []}]
              responses:
                "200":
                  description: All of them.
                  content:
                    application/json:
                      schema:
                        type: object
                        required: [mediators]
                        properties:
                          mediators: {type: array, items: {$ref: "#/components/schemas/Mediator"}}
                "401": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /mediators/{id}:
            parameters:
              - name: id
                in: path
                required: true
                description: The first 16 hexadecimal digits of the SHA-256 of its token.
                schema: {type: string, examples: [0123456789abcdef]}
            delete:
              tags: [identity]
              operationId: deleteMediator
              summary: Deletes a mediator of yours, and every one-time code of yours that nobody has used yet.
              security: [{user: []}]
              responses:
                "204": {description: It is gone.}
                "401": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                "404": {$ref: "#/components/responses/Problem"}
                "429": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /clients/{di}:
            parameters:
              - {$ref: "#/components/parameters/Device"}
            delete:
              tags: [identity]
              operationId: deleteClient
              summary: Deletes a client of yours and its tokens. A client may delete itself.
              security: [{user: []}, {client: []}]
              responses:
                "204": {description: It is gone.}
                "401": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                "404": {$ref: "#/components/responses/Problem"}
                "429": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /users/{uid}:
            parameters:
              - name: uid
                in: path
                required: true
                description: Your own id.
                schema: {$ref: "#/components/schemas/Id"}
            delete:
              tags: [identity]
              operationId: deleteUser
              summary: Deletes yourself with all mediators, clients and devices, and ends their sessions.
              security: [{user: []}]
              responses:
                "204": {description: All of it is gone.}
                "401": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
          /openapi.yaml:
            get:
              tags: [documents]
              operationId: openAPI
              summary: This document.
              responses:
                "200": {description: The document., content: {application/yaml: {schema: {type: string}}}}
                default: {$ref: "#/components/responses/Problem"}
          /errors:
            get:
              tags: [documents]
              operationId: errors
              summary: Every type of problem, what it means and what to do.
              responses:
                "200": {description: The document., content: {text/markdown: {schema: {type: string}}}}
                default: {$ref: "#/components/responses/Problem"}
          /{di}/{href}:
            description: |
              Any resource of a device of yours. `href` is the whole rest of the path, slashes included; a slash
              inside a segment is written %2F. Query parameters go to the device as they are.

              A JSON body goes to the device as CBOR (application/vnd.ocf+cbor), and its CBOR answer comes back as
              JSON, each only if all of it is one valid item; everything else passes byte for byte. Accept:
              application/vnd.ocf+cbor asks for the device's own bytes. `Prefer: wait=N` (1 to 60) says how many
              seconds to wait for the answer; the default is 20.
            parameters:
              - {$ref: "#/components/parameters/Device"}
              - name: href
                in: path
                required: true
                description: The path of the resource on the device.
                schema: {type: string, examples: [light/1]}
              - {name: Prefer, in: header, schema: {type: string, examples: ["wait=5"]}}
            get:
              tags: [devices]
              operationId: retrieve
              summary: Retrieves a resource.
              description: |
                With Accept: text/event-stream it is observed: a `notification` with the representation in JSON now
                and each time it changes, and `end`, a problem, when it will tell no more.
              parameters:
                - name: stored
                  in: query
                  description: true asks for what it last said, with its Age, not the device.
                  schema: {type: string, enum: ["true"]}
                - {name: If-None-Match, in: header, schema: {type: string}}
              security: [{user: []}, {client: []}]
              responses:
                "200": {$ref: "#/components/responses/DeviceContent"}
                "304": {description: What you have is still good.}
                "401": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                "404": {$ref: "#/components/responses/Problem"}
                "406": {$ref: "#/components/responses/Problem"}
                "429": {$ref: "#/components/responses/Problem"}
                "502": {$ref: "#/components/responses/Problem"}
                "503": {$ref: "#/components/responses/Problem"}
                "504": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
            head:
              tags: [devices]
              operationId: head
              summary: Retrieves a resource without its body.
              security: [{user: []}, {client: []}]
              responses:
                "200": {description: What GET would say, without its body.}
                default: {description: The status of the problem, without its body.}
            post:
              tags: [devices]
              operationId: update
              summary: Updates a resource.
              parameters: &writing
                - name: Idempotency-Key
                  in: header
                  description: |
                    Makes sure that the device gets this once, however often it is sent: for 10 minutes the same
                    request with the same key gets the first one's answer.
                  schema: {type: string, maxLength: 255, examples: ["8e03978e-40d5-43dd-bc93-6894a57f9324"]}
              security: [{user: []}, {client: []}]
              requestBody: {$ref: "#/components/requestBodies/DeviceContent"}
              responses: &written
                "200": {$ref: "#/components/responses/DeviceContent"}
                "201": {description: The device made a resource; Location says where.}
                "204": {description: Done; the device said nothing more.}
                "400": {$ref: "#/components/responses/Problem"}
                "401": {$ref: "#/components/responses/Problem"}
                "403": {$ref: "#/components/responses/Problem"}
                "404": {$ref: "#/components/responses/Problem"}
                "409": {$ref: "#/components/responses/Problem"}
                "413": {$ref: "#/components/responses/Problem"}
                "415": {$ref: "#/components/responses/Problem"}
                "422": {$ref: "#/components/responses/Problem"}
                "429": {$ref: "#/components/responses/Problem"}
                "502": {$ref: "#/components/responses/Problem"}
                "503": {$ref: "#/components/responses/Problem"}
                "504": {$ref: "#/components/responses/Problem"}
                default: {$ref: "#/components/responses/Problem"}
            put:
              tags: [devices]
              operationId: replace
              summary: Updates a resource; OCF has no PUT, so the device gets a POST.
              parameters: *writing
              security: [{user: []}, {client: []}]
              requestBody: {$ref: "#/components/requestBodies/DeviceContent"}
              responses: *written
            delete:
              tags: [devices]
              operationId: remove
              summary: Deletes a resource on the device.
              parameters: *writing
              security: [{user: []}, {client: []}]
              responses: *written
        """#
}
