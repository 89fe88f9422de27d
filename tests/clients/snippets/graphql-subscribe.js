const unsubscribe = client.subscribe(
  {
    query: `
      subscription OnRecordChange($modelKey: String!) {
        recordChanged(modelKey: $modelKey) {
          type
          record {
            id
            modelKey
            naturalKey
            data
            updatedAt
          }
        }
      }
    `,
    variables: { modelKey: "product" },
  },
  {
    next(data) {
      console.log("Record changed:", data);
    },
    error(err) {
      console.error("Subscription error:", err);
    },
    complete() {
      console.log("Subscription complete");
    },
  }
);

// Later, to unsubscribe:
unsubscribe();
